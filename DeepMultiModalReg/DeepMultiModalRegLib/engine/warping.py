"""Warping: the moving image on the fixed lattice, in slabs: a large one can be stopped and needs no second copy."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..core import Grid, Image, Transform, resample

SLAB_VOXELS = 1 << 23
EXACT = 1 << 24  # whole numbers up to here are exact in float32


def warp(
    image: Image, grid: Grid, transform: Transform, fill: float, tick: Callable[[float], None], mode: str = "linear"
) -> Image:
    """core.resample of `image` at transform(points of `grid`); `tick` takes the share done.

    mode: "linear" gives float32; "nearest" (label maps) keeps the dtype.
    """
    planes = grid.shape[0]
    rows = max(1, SLAB_VOXELS * planes // grid.voxels)
    kept = torch.float32 if mode == "linear" else image.tensor.dtype
    image = _readable(image) if mode == "nearest" else image.to(torch.float32)
    if rows >= planes:
        out = resample(image, grid, transform, mode, fill)
        return out if out.tensor.dtype == kept else out.to(kept)
    tensor = torch.empty((image.channels, *grid.shape), dtype=kept)
    for first in range(0, planes, rows):
        last = min(planes, first + rows)
        slab = grid.cropped((0,) * (grid.dimension - 1) + (first,), (*grid.size[:-1], last - first))
        tensor[:, first:last] = resample(image, slab, transform, mode, fill).tensor.to(kept)
        tick(last / planes)
    return Image(tensor, grid)


def _readable(image: Image) -> Image:
    """The same numbers in a type that can be sampled: once, not again for each slab."""
    low, high = image.tensor.aminmax()
    return image.to(torch.float32 if max(abs(float(low)), abs(float(high))) < EXACT else torch.float64)
