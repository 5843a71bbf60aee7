"""Heads drawn by a formula: stacks of thick slices of CT and MR of the same skull, which no other turn looks like."""

from __future__ import annotations

import torch
from torch import Tensor

from DeepMultiModalRegLib.core import Affine, Grid, Image

AXES = (66.0, 82.0, 74.0)  # mm of the brain's half axes
WALL, SCALP = 8.0, 6.0  # mm
LEVELS = {"CT": (90.0, 255.0, 0.0), "MR": (100.0, 4.0, 80.0)}  # brain, bone, scalp


def stack_grid(slices: int = 15) -> Grid:
    return Grid.regular((128, 128, slices), (1.75, 1.75, 6.5), torch.tensor([3.0, -5.0, 10.0]))


def head(modality: str, grid: Grid, pose: Affine | None = None, bloom_mm: float = 0.0) -> Image:
    """The head about the lattice's middle, read at pose(x); bloom_mm: by how much bone is too thick on either side."""
    depth = _beyond(grid, pose)
    brain, bone, scalp = LEVELS[modality]
    edges = ((-bloom_mm, bone - brain), (WALL + bloom_mm, scalp - bone), (WALL + SCALP, -scalp))
    grey = torch.full_like(depth, brain)
    for at, step in edges:
        grey += step * ((depth - at) / 1.75 + 0.5).clamp(0, 1)  # an edge as wide as a pixel
    return Image(grey[None].float(), grid)


def _beyond(grid: Grid, pose: Affine | None) -> Tensor:
    """(*shape) mm, roughly, outside of the brain's surface; inside it is negative."""
    x = grid.points(torch.float64)
    x = (x if pose is None else pose.points(x)) - grid.centre
    turn = torch.atan2(x[..., 1], x[..., 0])
    scaled = (x / torch.tensor(AXES, dtype=torch.float64)).norm(dim=-1) / (1 + 0.05 * (3 * turn + x[..., 2] / 60).cos())
    return (scaled - 1) * 72
