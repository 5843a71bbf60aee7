"""The pairs of the slices experiment: axial slices of one person, the moving one under a seeded random transform."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
FEWEST = 50  # pixels of a label that counts in a slice
LEAST_BRAIN = 3000.0  # mm² of labelled brain (of head where nothing is labelled) in a slice that counts


@dataclass(frozen=True)
class SliceSource:
    """Volumes of aligned modalities: `folders` under test/, the files of the `fixed` and of the `moving` image and of
    the `labels` in each, and in words what they are. The head is looked for in `head`."""

    folders: tuple[str, ...]
    fixed: str
    moving: str
    head: str
    labels: dict[str, str]
    words: str

    def exchanged(self) -> SliceSource:
        """The other image fixed."""
        return replace(self, fixed=self.moving, moving=self.fixed)


SOURCES = {
    "brainweb": SliceSource(
        ("brainweb",), "t1.nii.gz", "t2.nii.gz", "t1.nii.gz",
        {"aal": "aal_labels.nii.gz", "silver": "silver_labels.nii.gz"}, "BrainWeb (a simulated adult head)",
    ),
    "albert": SliceSource(
        ("albert/05", "albert/20"), "t1.nii.gz", "t2.nii.gz", "t2.nii.gz", {"classes": "labels.nii.gz"},
        "newborns of the ALBERT set (05 and 20, skull-stripped)",
    ),
    "ct-mr21": SliceSource(
        ("ct-mr21",), "mr.nii.gz", "ct.nii.gz", "mr.nii.gz", {},
        "case 21 of the Whole Brain Atlas (an adult patient; 8 bit, pixels of 1 mm in name, aligned within 2 pixels)",
    ),
}  # fmt: skip


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
    """All on one lattice of 128x128 pixels, LPS mm in the plane. fixed: the slice, moving: its other modality under the
    warp, both in [0, 1] by the engine's rule; moving_as_fixed: the fixed's modality under the same warp, in the fixed's
    scale: what a perfect translation of `moving` would be. labels: set -> (fixed's, moving's, those that count). mask:
    the fixed slice's head. truth: fixed mm to moving mm, or None between two people.
    """

    name: str
    fixed: Image
    moving: Image
    moving_as_fixed: Image
    labels: dict[str, tuple[Image, Image, list[int]]]
    mask: Tensor
    truth: Transform | None


def slice_pairs(
    data: Path,
    count: int,
    seed: int = 0,
    deformation_px: float = 6.0,
    source: SliceSource = SOURCES["brainweb"],
) -> list[SlicePair]:
    """`count` pairs: slices spread evenly over the brain, each under a transform of its own; of several people, the
    first ones of the first."""
    if count < 1:
        raise InputError("The slices experiment needs at least one pair; give --slices 1 or more.")
    people = len(source.folders)
    shares = [range(count * p // people, count * (p + 1) // people) for p in range(people)]
    return [
        pair
        for folder, share in zip(source.folders, shares, strict=True)
        for pair in _of_one(data / "test" / folder, source, share, seed, ranges(deformation_px))
    ]


def _of_one(folder: Path, source: SliceSource, numbers: range, seed: int, within: WarpRanges) -> list[SlicePair]:
    volumes = volumes_of(folder, source)
    lattice = lattice_about(volumes["head"])
    pairs = []
    for n, k in zip(numbers, chosen_slices(volumes, source, len(numbers)), strict=True):
        planes = planes_at(volumes, k)
        warp = known_warp(lattice, within, seed * 100_003 + n)
        pairs.append(made_pair(f"slice-{n:03d}-z{k}", planes, planes, list(source.labels), lattice, warp))
    return pairs


def volumes_of(folder: Path, source: SliceSource) -> dict[str, Image]:
    """One person's volumes along LPS: fixed, moving, head (1 inside) and the source's label sets."""
    names = {"fixed": source.fixed, "moving": source.moving, "head": source.head, **source.labels}
    volumes = {name: reorient(read_image(folder / file)[0]) for name, file in names.items()}
    return volumes | {"head": Image(head_mask(volumes["head"])[None].to(torch.uint8), volumes["fixed"].grid)}


def chosen_slices(volumes: dict[str, Image], source: SliceSource, count: int) -> list[int]:
    """Heights (indices) spread evenly over the slices that show enough brain."""
    brain = volumes[next(iter(source.labels), "head")]
    area = (brain.tensor[0] > 0).flatten(1).sum(1) * brain.grid.spacing[0] * brain.grid.spacing[1]
    heights = torch.nonzero(area >= LEAST_BRAIN).flatten().tolist()
    return [heights[round((n + 0.5) * len(heights) / count - 0.5)] for n in range(count)]


def planes_at(volumes: dict[str, Image], k: int) -> dict[str, Image]:
    return {name: _plane(volume, k) for name, volume in volumes.items()}


def lattice_about(head: Image) -> Grid:
    """PIXELS x PIXELS about the middle of the head's box, in the plane."""
    used = torch.nonzero(head.tensor[0].any(0)).flip(-1).double()
    middle = (used.amin(0) + used.amax(0)) / 2
    plane = _plane(head, 0).grid
    return Grid.regular((PIXELS, PIXELS), SPACING, plane.matrix[:-1, :-1] @ middle + plane.matrix[:-1, -1])


def _plane(volume: Image, k: int) -> Image:
    """Axial slice k of a volume that lies along LPS, as a 2D image."""
    grid = volume.grid
    return Image(volume.tensor[:, k], Grid(grid.size[:2], grid.spacing[:2], grid.origin[:2], (1.0, 0.0, 0.0, 1.0)))


def made_pair(
    name: str, fixed: dict[str, Image], moving: dict[str, Image], label_sets: list[str], lattice: Grid, warp: Transform,
    same: bool = True,
) -> SlicePair:  # fmt: skip
    """A pair on `lattice` of the planes (fixed, moving, head and label sets) of the one whose image is fixed and of the
    one whose image moves by `warp`; same: one person, whose truth is then known."""
    truth = invert(warp, lattice)[0] if same else None
    seen = averaged(fixed["fixed"], lattice), averaged(moving["moving"], lattice), averaged(moving["fixed"], lattice)
    still = resample(seen[0], lattice)
    moved, as_fixed = (resample(image, lattice, warp) for image in seen[1:])
    bottom, top = intensity_range(still.tensor if same else as_fixed.tensor)
    labels = {}
    for label_set in label_sets:
        both = (fixed[label_set], None), (moving[label_set], warp)
        pair = tuple(resample(image, lattice, transform, "nearest") for image, transform in both)
        common = labels_of(*(image.tensor for image in pair))
        counted = [v for v in common if min(int((image.tensor == v).sum()) for image in pair) >= FEWEST]
        labels[label_set] = (*pair, counted)
    return SlicePair(
        name,
        still.with_tensor(normalise(still.tensor)),
        moved.with_tensor(normalise(moved.tensor)),
        as_fixed.with_tensor(((as_fixed.tensor - bottom) / (top - bottom)).clamp(0, 1)),
        labels,
        resample(fixed["head"], lattice, None, "nearest").tensor[0].bool(),
        truth,
    )
