"""The slices experiment: the hierarchical paper's own, on BrainWeb T2 to T1, with its table beside ours; and the same
with slices of other heads and modalities (`--slices-of`).

What is comparable: the order of the methods and the gaps between them. Not the figures themselves: the paper states
neither the ranges of its random transforms nor its labels, and ran on another machine.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core import Affine, Composite, DenseField, Image, InputError, RegistrationError, Transform, resample
from ..engine import load
from ..engine.body import body_points
from ..engine.device import Precision, choose_device
from ..engine.start import first_alignment
from ..io import write_text
from . import pictures, table
from .cases import data_folder
from .dice import dice, mean
from .displacement import summary, transform_errors
from .folding import folding
from .geometry_kept import geometry_kept
from .peers import PLANAR, run_peer
from .slice_pairs import PIXELS, SOURCES, SPACING, SlicePair, in_words, slice_pairs
from .surface import hausdorff95
from .translation import mean_squared_error, psnr, ssim

# Dai, Ma, Cai, Wen: mean Dice % and seconds a pair on a CPU; translation PSNR and SSIM
PAPER = (
    ("affine", 46.45, None, None, None),
    ("SyN", 57.51, 2.26, None, None),
    ("VoxelMorph, NCC", 58.20, None, None, None),
    ("VoxelMorph, MI", 67.08, None, None, None),
    ("CycleGAN", None, None, 24.03, 0.914),
    ("theirs", 70.57, 0.059, 25.28, 0.940),
)
PAGES = 6  # pairs shown in the page of pictures


@dataclass(frozen=True)
class Found:
    """transform: fixed mm to moving mm. translated: the moving slice in the fixed's modality, in the moving's space, or
    None; kept: how far its making leaves geometry alone."""

    transform: Transform
    seconds: float
    translated: Tensor | None = None
    kept: dict[str, float] = field(default_factory=dict)


def run_experiment(options: argparse.Namespace, models: list[str], peers: list[str]) -> int:
    """Prints and writes the table; returns the exit code."""
    from .command import about, facts_in_words

    source = SOURCES[options.slices_of]
    source = source.exchanged() if options.exchanged else source
    pairs = slice_pairs(data_folder(options.data), options.slices, options.seed, options.deformation, source)
    papers = options.slices_of == "brainweb" and not options.exchanged
    roles = f"{name_of(source.moving)} onto {name_of(source.fixed)}"
    group = "slices" if papers else f"slices of {options.slices_of}, {roles}"
    rows: list[dict] = []
    shown: list[tuple[str, str, object]] = []
    for method, runner in runners_of(options, models, peers).items():
        try:
            found = runner(pairs)
        except RegistrationError as error:
            rows.append({"group": group, "case": "all", "method": method, "error": str(error)})
            print(f"{method}: {error}", flush=True)
            continue
        surfaces = not options.no_surfaces
        own = [row_of(method, pair, one, surfaces) | {"group": group} for pair, one in zip(pairs, found, strict=True)]
        rows += own
        print(table.markdown(table.means(own), ("method",)).splitlines()[-1], flush=True)
        for pair, one in list(zip(pairs, found, strict=True))[:: max(1, len(pairs) // PAGES)]:
            warped = resample(pair.moving, pair.fixed.grid, one.transform)
            path = options.out / f"{pair.name}_{method.replace(' ', '-').replace(',', '')}.png"
            pictures.write_png(pictures.panels(pair.fixed, pair.moving, warped, one.transform), path)
            shown.append((pair.name, method, path))
    facts = about(options) | {"pairs": len(pairs), "transforms": in_words(options.deformation), "slices": source.words}
    facts |= {"fixed": name_of(source.fixed), "moving": name_of(source.moving)}
    own = table.markdown(table.means(rows), ("method",))
    text = "\n".join([facts_in_words(facts), _explained(facts), own])
    if papers:
        text += "\n" + _paper()
    table.write_csv(rows, options.out / "table.csv")
    table.write_rows(rows, facts, options.out / "table.json")
    write_text(text, options.out / "table.md")
    shown.sort(key=lambda entry: entry[0])
    pictures.write_page("The slices experiment", text, shown, options.out / "index.html")
    print("\n" + text)
    return 0


def runners_of(options: argparse.Namespace, models: list[str], peers: list[str]) -> dict[str, Callable]:
    """The rows of a table that anybody may want: title to what makes `Found` of pairs."""
    planar = [name for name in peers if name in PLANAR]
    rows: dict[str, Callable] = {
        "identity": lambda pairs: [Found(Affine.identity(2), 0.0) for _ in pairs],
        "moments": lambda pairs: [by_moments(pair) for pair in pairs],
    }
    for name in planar:
        rows[name] = lambda pairs, name=name: peer_found(pairs, name, options.seed, options.threads)
    for name in models:
        method = load(name).method
        for stages, words in _stages(method).items():
            for begin in ("none", "moments"):
                title = f"{name}, {words}" if begin == "none" else f"{name}, {words}, after moments"
                rows[title] = lambda pairs, m=method, s=stages, b=begin: network(pairs, m, s, b, options.device)
    rows["truth"] = _truth
    return rows


def _truth(pairs: list[SlicePair]) -> list[Found]:
    if any(pair.truth is None for pair in pairs):
        raise InputError("Between two people no transform is known to be true.")
    return [Found(pair.truth, 0.0) for pair in pairs]


def _stages(method) -> dict[int | None, str]:
    """The method's stages worth a row: None is the whole; only a method that has G1 can stop after it."""
    return {1: "G1 only", None: "whole"} if hasattr(method, "g1") else {None: "whole"}


def by_moments(pair: SlicePair) -> Found:
    started = time.perf_counter()
    bodies = body_points(pair.fixed), body_points(pair.moving)
    transform = first_alignment(pair.fixed, pair.moving, "moments", *bodies)
    return Found(transform, time.perf_counter() - started)


def peer_found(pairs: list[SlicePair], name: str, seed: int, threads: int) -> list[Found]:
    done = run_peer(name, [(pair.fixed, pair.moving) for pair in pairs], seed, threads)
    return [Found(result.transform, result.seconds) for result in done.results]


@torch.no_grad()
def network(pairs: list[SlicePair], method, stages: int | None, begin: str, device: str) -> list[Found]:
    """Pair by pair, as a user would: start, network, field. seconds include the start, not the translated image."""
    place = choose_device(device)
    precision = Precision.best(place)
    method = method.to(place, memory_format=torch.channels_last).eval()
    settings = {} if stages is None else {"stages": stages}
    found = []
    for n, pair in enumerate([pairs[0], *pairs]):  # the first one warms up and is not kept
        started = time.perf_counter()
        first = by_moments(pair).transform if begin == "moments" else Affine.identity(2)
        moving = pair.moving if begin == "none" else resample(pair.moving, pair.fixed.grid, first)
        batch = [
            image.tensor[None].to(place).contiguous(memory_format=torch.channels_last) for image in (pair.fixed, moving)
        ]
        with precision.autocast():
            out = method(*batch, **settings)
        transform = _transform(out.displacement[0].float().cpu(), pair, first)
        seconds = time.perf_counter() - started
        translated, kept = None, {}
        if stages is None and n:
            with precision.autocast():
                translated = method(*batch, translate=True, **settings).translated
                if translated is not None:
                    kept = geometry_kept(method, *batch, pair.fixed.grid, n)
            translated = None if translated is None else translated[0, 0].float().cpu()
        if n:
            found.append(Found(transform, seconds, translated, kept))
    return found


def _transform(voxels: Tensor, pair: SlicePair, first: Affine) -> Transform:
    grid = pair.fixed.grid
    field = torch.einsum("ri,i...->r...", grid.matrix[:-1, :-1].float(), voxels)
    return Composite(DenseField(Image(field, grid)), first)


def row_of(method: str, pair: SlicePair, found: Found, surfaces: bool = False) -> dict:
    """What a transform is worth on a pair: a row of the table. surfaces: HD95 too."""
    grid = pair.fixed.grid
    row: dict = {"group": "slices", "case": pair.name, "method": method, "seconds": found.seconds}
    for name, (fixed, moving, counted) in pair.labels.items():
        warped = resample(moving, grid, found.transform, "nearest")
        row[f"dice_{name}"] = mean(dice(fixed.tensor[0], warped.tensor[0], counted))
        if surfaces:
            distances = hausdorff95(fixed.tensor[0], warped.tensor[0], grid, counted).values()
            row[f"hd95_{name}_mm"] = mean({n: value for n, value in enumerate(distances) if math.isfinite(value)})
    if pair.truth is not None:
        row["error_mean_mm"] = summary(transform_errors(found.transform, pair.truth, grid, pair.mask))["mean"]
    row |= folding(found.transform, grid)
    carried = resample(pair.moving_as_fixed, grid, found.transform).tensor
    row["mse_percent"] = 100 * mean_squared_error(carried, pair.fixed.tensor)
    row |= found.kept
    if found.translated is not None:
        _, affine = found.transform.dense, found.transform.affine
        real = resample(pair.moving_as_fixed, grid, affine).tensor[0]
        row["psnr"] = psnr(found.translated.clamp(0, 1), real)
        row["ssim"] = ssim(found.translated.clamp(0, 1), real)
    elif method == "identity":  # the moving slice itself in the place of a translated one: what translation starts from
        row["psnr"] = psnr(pair.moving.tensor[0], pair.moving_as_fixed.tensor[0])
        row["ssim"] = ssim(pair.moving.tensor[0], pair.moving_as_fixed.tensor[0])
    return row


def name_of(file: str) -> str:
    """T1 for t1.nii.gz."""
    return file.split(".")[0].upper()


def _explained(facts: dict) -> str:
    return f"""\
Axial slices of {facts["slices"]}, fixed {facts["fixed"]}, moving {facts["moving"]}, {facts["pairs"]} pairs of
{PIXELS}x{PIXELS} pixels of {SPACING} mm; the moving one under {facts["transforms"]}.
Dice, HD95: mean over the labels with at least 50 pixels in the slice, then over slices. error: against the known
transform, inside the head. MSE %: the fixed's modality carried by the transform found between both, against the fixed
image, both in [0, 1] (the hierarchical paper's BraTS measure). PSNR, SSIM: the translated image against the real one
of the fixed's modality under the same transform, in the moving's space, in [0, 1], whole slice; in the row identity,
the moving image itself. edges: mean distance from the edges of the translated image to the nearest one of the moving
image; commutation: |T(a∘φ) - T(a)∘φ| under one more known warp φ. seconds: one pair at a time, images in memory. The
row truth: what the lattice costs.
"""


def _paper() -> str:
    lines = ["The paper (Dai, Ma, Cai, Wen), its own slices, transforms, labels and machine:", ""]
    lines += ["| method | Dice | seconds | PSNR dB | SSIM |", "|---|---:|---:|---:|---:|"]
    for name, overlap, seconds, noise, similarity in PAPER:
        cells = [None if overlap is None else f"{overlap / 100:.3f}", seconds, noise, similarity]
        lines.append(f"| {name} | " + " | ".join("–" if cell is None else str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
