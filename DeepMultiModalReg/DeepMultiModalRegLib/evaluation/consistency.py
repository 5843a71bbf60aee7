"""Whether a result agrees with itself: transform with inverse, warped image with transform."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Grid, Image, Transform, resample


def round_trip_errors(transform: Transform, inverse: Transform, grid: Grid, mask: Tensor | None = None) -> Tensor:
    """(N,) mm between inverse(T(x)) and x at the voxels of `grid` (the fixed lattice) inside `mask`."""
    x = grid.points(torch.float32)
    x = x.reshape(-1, grid.dimension) if mask is None else x[mask]
    return (inverse.points(transform.points(x)) - x).norm(dim=-1)


def warped_disagreement(warped: Image, moving: Image, transform: Transform, fill: float = 0.0) -> float:
    """The largest difference between `warped` and `moving` resampled by `transform`, as a share of moving's range."""
    again = resample(moving, warped.grid, transform, "linear", fill).tensor
    span = float(moving.tensor.max()) - float(moving.tensor.min())
    return float((again - warped.tensor.float()).abs().max()) / max(span, 1e-12)
