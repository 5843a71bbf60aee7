"""Errors of a transform in mm: at landmarks, and against a known transform inside a mask."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Grid, InputError, Transform


def landmark_errors(transform: Transform, fixed_points: Tensor, moving_points: Tensor) -> Tensor:
    """(N,) target registration errors: mm from T(fixed point) to its moving point; both (N, D) in LPS mm."""
    if fixed_points.shape != moving_points.shape:
        raise InputError("Landmarks come in pairs: as many fixed points as moving points, of one dimension.")
    return (transform.points(fixed_points.double()) - moving_points.double()).norm(dim=-1)


def transform_errors(transform: Transform, truth: Transform, grid: Grid, mask: Tensor | None = None) -> Tensor:
    """(N,) mm between T(x) and truth(x) at the voxel centres x of `grid` inside `mask` (*grid.shape, bool).

    Both map fixed LPS mm to moving LPS mm.
    """
    x = grid.points(torch.float32)
    x = x.reshape(-1, grid.dimension) if mask is None else x[mask]
    return (transform.points(x) - truth.points(x)).norm(dim=-1)


def split_errors(
    transform: Transform, truth: Transform, grid: Grid, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """((N,), (N,)) mm of the same errors within the planes I, J of `grid` and across them. `grid`: of a volume."""
    x = grid.points(torch.float32)
    x = x.reshape(-1, grid.dimension) if mask is None else x[mask]
    off = transform.points(x) - truth.points(x)
    normal = torch.linalg.cross(*(grid.matrix[:-1, axis] / grid.spacing[axis] for axis in (0, 1))).to(off)
    across = off @ normal
    return (off - across[:, None] * normal).norm(dim=-1), across.abs()


def summary(errors: Tensor) -> dict[str, float]:
    """{"mean", "median", "p95", "max"} of errors in mm."""
    if errors.numel() == 0:
        raise InputError("There is no point to measure the error at: the mask is empty.")
    ordered = errors.double().flatten().sort().values  # torch.quantile refuses more than 16 M values
    at = [ordered[min(len(ordered) - 1, round(q * (len(ordered) - 1)))].item() for q in (0.5, 0.95)]
    return {"mean": ordered.mean().item(), "median": at[0], "p95": at[1], "max": ordered[-1].item()}
