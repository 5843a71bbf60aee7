"""The pairs of the slices experiment: axial BrainWeb slices, T1 fixed, T2 moving under a seeded random transform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core import Grid, Image, InputError, Transform, invert, reorient, resample
from ..engine.intensity import intensity_range, normalise
from ..engine.reduce import averaged
from ..io import read_image
from .dice import labels_of
from .head import head_mask
from .warps import WarpRanges, known_warp

PIXELS = 128
SPACING = 1.75  # mm: 224 mm, a whole adult head
LABELS = {"aal": "aal_labels.nii.gz", "silver": "silver_labels.nii.gz"}
FEWEST = 50  # pixels of a label that counts in a slice
LEAST_BRAIN = 3000.0  # mm² of labelled brain in a slice that counts


def ranges(deformation_px: float = 6.0) -> WarpRanges:
    """How the moving slices are displaced; `deformation_px`: the largest displacement of the smooth part, 9 at most."""
    return WarpRanges(
        shift_mm=10 * SPACING, rotation_deg=12.0, scale=0.10, peak_mm=deformation_px * SPACING, smooth_mm=9.2 * SPACING
    )


def in_words(deformation_px: float) -> str:
    return (
        "shift within ±10 px an axis, rotation within ±12°, scaling within ±10 %, after a smooth one-to-one "
        f"deformation of at most {deformation_px:g} px (the exponential of noise smoothed by a Gaussian of 9.2 px)"
    )


@dataclass(frozen=True)
class SlicePair:
    """All on one lattice of 128x128 pixels, LPS mm in the plane. fixed: T1 of the slice, moving: its T2 under the warp,
    both in [0, 1] by the engine's rule; moving_t1: the T1 under the same warp, in the fixed's scale: what a perfect
    translation of `moving` would be. labels: set -> (fixed's, moving's, those that count). mask: the fixed slice's
    head. truth: fixed mm to moving mm.
    """

    name: str
    fixed: Image
    moving: Image
    moving_t1: Image
    labels: dict[str, tuple[Image, Image, list[int]]]
    mask: Tensor
    truth: Transform


def slice_pairs(data: Path, count: int, seed: int = 0, deformation_px: float = 6.0) -> list[SlicePair]:
    """`count` pairs: slices spread evenly over the brain, each under a transform of its own."""
    if count < 1:
        raise InputError("The slices experiment needs at least one pair; give --slices 1 or more.")
    folder = data / "test" / "brainweb"
    names = {"t1": "t1.nii.gz", "t2": "t2.nii.gz", **LABELS}
    volumes = {name: reorient(read_image(folder / file)[0]) for name, file in names.items()}
    head = Image(head_mask(volumes["t1"])[None].to(torch.uint8), volumes["t1"].grid)
    grid = volumes["t1"].grid
    area = (volumes["aal"].tensor[0] > 0).flatten(1).sum(1) * grid.spacing[0] * grid.spacing[1]
    heights = torch.nonzero(area >= LEAST_BRAIN).flatten().tolist()
    lattice = _lattice(head)
    chosen = [heights[round((n + 0.5) * len(heights) / count - 0.5)] for n in range(count)]
    return [_pair(n, k, volumes, head, lattice, seed, ranges(deformation_px)) for n, k in enumerate(chosen)]


def _lattice(head: Image) -> Grid:
    """PIXELS x PIXELS about the middle of the head's box, in the plane."""
    used = torch.nonzero(head.tensor[0].any(0)).flip(-1).double()
    middle = (used.amin(0) + used.amax(0)) / 2
    plane = _plane(head, 0).grid
    return Grid.regular((PIXELS, PIXELS), SPACING, plane.matrix[:-1, :-1] @ middle + plane.matrix[:-1, -1])


def _plane(volume: Image, k: int) -> Image:
    """Axial slice k of a volume that lies along LPS, as a 2D image."""
    grid = volume.grid
    return Image(volume.tensor[:, k], Grid(grid.size[:2], grid.spacing[:2], grid.origin[:2], (1.0, 0.0, 0.0, 1.0)))


def _pair(n: int, k: int, volumes: dict[str, Image], head: Image, lattice: Grid, seed: int, within: WarpRanges):
    planes = {name: _plane(volume, k) for name, volume in volumes.items()}
    warp = known_warp(lattice, within, seed * 100_003 + n)
    truth, _ = invert(warp, lattice)
    seen = {name: averaged(planes[name], lattice) for name in ("t1", "t2")}
    t1 = resample(seen["t1"], lattice)
    bottom, top = intensity_range(t1.tensor)
    moving = resample(seen["t2"], lattice, warp)
    moving_t1 = resample(seen["t1"], lattice, warp)
    labels = {}
    for name in LABELS:
        pair = tuple(resample(planes[name], lattice, transform, "nearest") for transform in (None, warp))
        common = labels_of(*(image.tensor for image in pair))
        counted = [v for v in common if min(int((image.tensor == v).sum()) for image in pair) >= FEWEST]
        labels[name] = (*pair, counted)
    return SlicePair(
        f"slice-{n:03d}-z{k}",
        t1.with_tensor(normalise(t1.tensor)),
        moving.with_tensor(normalise(moving.tensor)),
        moving_t1.with_tensor(((moving_t1.tensor - bottom) / (top - bottom)).clamp(0, 1)),
        labels,
        resample(_plane(head, k), lattice, None, "nearest").tensor[0].bool(),
        truth,
    )
