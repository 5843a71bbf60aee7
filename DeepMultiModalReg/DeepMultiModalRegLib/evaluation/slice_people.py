"""Slices of two people: the moving person's volume brought to the fixed one's by an affine transform, then cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..core import Image, resample
from ..engine import register
from .slice_pairs import SlicePair, SliceSource, chosen_slices, lattice_about, made_pair, planes_at, ranges, volumes_of
from .warps import known_warp

THROUGH = "fixed"  # the modality by which both people are brought together: the same one of both, so that this is easy


def people_pairs(data: Path, count: int, seed: int, source: SliceSource) -> list[SlicePair]:
    """`count` pairs of axial slices, half with the source's first person fixed and its second moving, half the other
    way round.

    The engine's affine of equal modalities decides which slices belong together; the moving one is then under a random
    pose in the plane, without deformation. What is left to find is how two brains differ within the slice. No truth:
    labels alone say how well.
    """
    folders = [data / "test" / folder for folder in source.folders[:2]]
    pairs = []
    for turn, numbers in enumerate((range(count // 2), range(count // 2, count))):
        if not numbers:
            continue
        fixed, moving = (volumes_of(folder, source) for folder in (folders if turn == 0 else folders[::-1]))
        brought = _brought(moving, fixed, list(source.labels))
        lattice = lattice_about(fixed["head"])
        within = replace(ranges(), peak_mm=0.0)
        for n, k in zip(numbers, chosen_slices(fixed, source, len(numbers)), strict=True):
            warp = known_warp(lattice, within, seed * 100_003 + n)
            planes = planes_at(fixed, k), planes_at(brought, k)
            pairs.append(made_pair(f"people-{n:03d}-z{k}", *planes, list(source.labels), lattice, warp, same=False))
    return pairs


def _brought(moving: dict[str, Image], fixed: dict[str, Image], label_sets: list[str]) -> dict[str, Image]:
    """The moving person's volumes on the fixed one's lattice."""
    grid = fixed["fixed"].grid
    found = register(fixed[THROUGH], moving[THROUGH], model="affine").transform
    whole = {name: "nearest" if name in (*label_sets, "head") else "linear" for name in moving}
    return {name: resample(moving[name], grid, found, mode) for name, mode in whole.items()}
