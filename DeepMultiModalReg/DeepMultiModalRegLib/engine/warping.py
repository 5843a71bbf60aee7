"""Warping: the moving image on the fixed lattice, in slabs: a large one can be stopped and needs no second copy."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..core import Grid, Image, Transform, resample

SLAB_VOXELS = 1 << 23


def warp(image: Image, grid: Grid, transform: Transform, fill: float, tick: Callable[[float], None]) -> Image:
    """core.resample (linear, float32) of `image` at transform(points of `grid`); `tick` takes the share done."""
    planes = grid.shape[0]
    rows = max(1, SLAB_VOXELS * planes // grid.voxels)
    image = image.to(torch.float32)
    if rows >= planes:
        return resample(image, grid, transform, "linear", fill)
    out = torch.empty((image.channels, *grid.shape))
    for first in range(0, planes, rows):
        last = min(planes, first + rows)
        slab = grid.cropped((0,) * (grid.dimension - 1) + (first,), (*grid.size[:-1], last - first))
        out[:, first:last] = resample(image, slab, transform, "linear", fill).tensor
        tick(last / planes)
    return Image(out, grid)
