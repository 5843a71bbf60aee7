"""Reduce: average fine voxels before an image is read on a coarse lattice, so that fine detail does not alias."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Grid, Image

SLAB_VOXELS = 1 << 24  # voxels turned to float32 at once


def averaged(image: Image, target: Grid) -> Image:
    """`image` with blocks of voxels averaged so far as `target` (a lattice of the same dimension) is coarser; float32.

    Blocks are whole numbers of voxels, placed where their middles lie; an axis that is not finer than the target stays.
    """
    blocks = _blocks(image.grid, target)
    if max(blocks) == 1:
        return image.to(torch.float32)
    grid = image.grid
    kernel = tuple(reversed(blocks))
    slab = max(1, SLAB_VOXELS * grid.shape[0] // grid.voxels // kernel[0]) * kernel[0]
    parts = [_pooled(part, kernel) for part in image.tensor.split(slab, 1)]
    tensor = torch.cat(parts, 1)
    first = torch.tensor([(n - 1) / 2 for n in blocks] + [1.0], dtype=torch.float64)
    spacing = tuple(s * n for s, n in zip(grid.spacing, blocks, strict=True))
    origin = tuple((grid.matrix @ first)[:-1].tolist())
    return Image(tensor, Grid(tensor.shape[:0:-1], spacing, origin, grid.direction))


def _pooled(tensor: Tensor, kernel: tuple[int, ...]) -> Tensor:
    kernel = tuple(min(k, n) for k, n in zip(kernel, tensor.shape[1:], strict=True))  # a last slab thinner than a block
    pool = F.avg_pool3d if len(kernel) == 3 else F.avg_pool2d
    return pool(tensor.float()[None], kernel, ceil_mode=True, count_include_pad=False)[0]


def _blocks(grid: Grid, target: Grid) -> list[int]:
    """Voxels of `grid` to a step of `target`, along each axis of `grid`."""
    axes = grid.matrix[:-1, :-1] / torch.tensor(grid.spacing, dtype=torch.float64)
    steps_per_mm = (target.inverse_matrix[:-1, :-1] @ axes).norm(dim=0)
    pitch = 1 / steps_per_mm
    return [max(1, min(n, int(p / s + 0.3))) for p, s, n in zip(pitch.tolist(), grid.spacing, grid.size, strict=True)]
