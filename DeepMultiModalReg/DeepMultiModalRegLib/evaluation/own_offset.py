"""The own-offset experiment: how far CT and MR stacks that are published as aligned lie apart, by the skull in both."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ..core import Affine, Image, InputError, resample
from ..io import read_image
from . import table
from .cases import data_folder, stacked
from .experiment import wanted, written
from .head import head_mask
from .skull import ANGLES, Wall, ct_wall, middle_of, mr_wall
from .skull_fit import fitted_walls
from .warps import WarpRanges, random_pose

PAIRS = {"case 21": ("test/ct-mr21/ct.nii.gz", "test/ct-mr21/mr.nii.gz")} | {
    f"case {n}": (f"train/ct-mr/case{n}/*_ct.png", f"train/ct-mr/case{n}/*_mr.png")
    for n in (16, 20, 28, 32, 33, 34, 41)
}
POSES = WarpRanges(shift_mm=4, rotation_deg=3, scale=0.04)  # that the CT is put under to see how well they are found
DRAWS, SEED = 4, 900
POINTS = 3000  # of the head, at which transforms are compared
SURFACES = ("middle", "inner")
SIDES = {"left": 0.0, "back": 90.0, "right": 180.0, "front": 270.0}  # degrees from the axis I towards J, in LPS
COLUMNS = {
    "mean_mm": ("off mm", 1),
    "plane_mm": ("in the planes", 1),
    "across_mm": ("across", 1),
    "scale_i": ("scale left-right", 3),
    "scale_j": ("front-back", 3),
    "scale_k": ("across", 3),
    "wall_mm": ("MR's wall outside CT's, mm", 1),
    "residual_mm": ("its residual mm", 2),
    "found_plane_mm": ("known poses found to, in the planes", 2),
    "found_across_mm": ("across", 2),
}


def images_of(pair: str, data: Path) -> tuple[Image, Image]:
    """(CT, MR) of one of PAIRS."""
    ct, mr = (stacked(data, path) if "*" in path else read_image(data / path)[0] for path in PAIRS[pair])
    return ct, mr


def offset_of(ct: Image, mr: Image, surface: str = "middle") -> tuple[Affine, float]:
    """(MR LPS mm to CT LPS mm by the skull's wall, mm of residual). Raises InputError where too little is found."""
    middle = middle_of(mr)
    found = fitted_walls(mr_wall(mr, middle), ct_wall(ct, middle), surface)
    return found.affine, found.residual_mm


def apart(first: Affine, second: Affine, points: Tensor) -> tuple[float, float, float]:
    """Mean mm between two transforms at points (N, 3): in all, in the planes, across them."""
    off = first.points(points) - second.points(points)
    return tuple(float(x.mean()) for x in (off.norm(dim=1), off[:, :2].norm(dim=1), off[:, 2].abs()))


def measured(ct: Image, mr: Image, surface: str) -> dict:
    """One row: the pair's own offset, and how well known poses of the CT are found by the same means."""
    own, residual = offset_of(ct, mr, surface)
    middle = middle_of(mr)
    apart_mm = mr_wall(mr, middle).surface(surface) - ct_wall(ct, middle).surface(surface)
    third = len(apart_mm) // 3
    inside = mr.grid.points(torch.float64)[head_mask(mr)]
    points = inside[:: max(1, len(inside) // POINTS)]
    row = dict(zip(("mean_mm", "plane_mm", "across_mm"), apart(own, Affine.identity(3), points), strict=True))
    row |= dict(zip(("scale_i", "scale_j", "scale_k"), own.linear.norm(dim=0).tolist(), strict=True))
    errors = []
    for draw in range(DRAWS):
        pose = random_pose(ct.grid, POSES, torch.Generator().manual_seed(SEED + draw))
        found, _ = offset_of(resample(ct, ct.grid, pose), mr, surface)
        errors.append(apart(found, pose.inverse() @ own, points))
    _, plane, across = torch.tensor(errors).mean(0).tolist()
    row["wall_mm"] = float(apart_mm[third : 2 * third + 1].nanmedian())
    return row | {"residual_mm": residual, "found_plane_mm": plane, "found_across_mm": across, "own": own}


def slices_of(ct: Wall, mr: Wall) -> list[dict]:
    """By slice: how far the middle of the MR's wall lies outside the CT's, mm, on each side of the head."""
    off = mr.surface("middle") - ct.surface("middle")
    degrees = torch.arange(ANGLES) * 360 / ANGLES
    rows = []
    for number, line in enumerate(off):
        row = {"slice": number, "rays": int(line.isfinite().sum())}
        for side, at in SIDES.items():
            here = line[((degrees - at + 45) % 360) < 90]
            row[side] = float(here.nanmedian())
        rows.append(row | {"all": float(line.nanmedian())})
    return rows


def run_experiment(options: argparse.Namespace) -> int:
    """Prints and writes the tables; returns the exit code."""
    from .command import about, facts_in_words

    facts = about(options)
    data = data_folder(options.data)
    rows, parts = [], []
    for pair in wanted(PAIRS, options.only):
        ct, mr = images_of(pair, data)
        for surface in SURFACES:
            row = {"pair": pair, "surface": surface}
            try:
                row |= measured(ct, mr, surface)
            except InputError as error:
                row["error"] = str(error)
            own = row.pop("own", None)
            rows.append(row | ({} if own is None else {"matrix": own.matrix.tolist()}))
        if pair == "case 21":
            middle = middle_of(mr)
            by_slice = slices_of(ct_wall(ct, middle), mr_wall(mr, middle))
            columns = {key: (key, 0 if key == "rays" else 1) for key in ("rays", *SIDES, "all")}
            parts.append(f"### {pair}, slice by slice\n\n" + table.markdown(by_slice, ("slice",), columns))
    text = [facts_in_words(facts), EXPLAINED, table.markdown(rows, ("pair", "surface"), COLUMNS), *parts]
    text += [f"{row['pair']}, {row['surface']}: {row['matrix']}\n" for row in rows if "matrix" in row]
    written(options.out, "own-offset", "\n".join(text), facts, rows)
    return 0


EXPLAINED = f"""\
MR to CT as published, by an affine transform that lays the wall of the skull in MR on that in CT (evaluation.skull,
skull_fit: edges along {ANGLES} rays in each slice; no grey level is compared between the images). off: mean inside the
head of how far that transform is from the identity. middle: of the wall, which stays where bone printed white blooms;
inner: its inner edge. scale: of MR's axes in CT. MR's wall outside CT's: median along all rays of the slices half way
up, as published; its residual: root mean square along the wall's normal when it is fitted. Known poses: {DRAWS} of up
to {POSES.shift_mm:g} mm, {POSES.rotation_deg:g} degrees and {100 * POSES.scale:g} % put on the CT; mean mm inside the
head from what they make of the transform.
"""
