"""Chain: the network's field after the start, and the inverse of both."""

from __future__ import annotations

import math

import torch

from ..core import DenseField, Grid, Transform, compose, invert, split

LATTICE_VOXELS = 20_000_000  # of a composed or inverted field: 240 MB


def chained(start: Transform, field: DenseField) -> Transform:
    """x -> start(x + u(x)), u closed. Exact for an affine start; a start with a field of its own is composed on a
    lattice
    that covers both fields at the finer spacing."""
    field = field.closed()
    dense, _ = split(start, field.dimension)
    if dense is None:
        return compose(start, field, field.field.grid)
    return compose(start, field, _covering(dense.field.grid, field.field.grid))


def _covering(a: Grid, b: Grid) -> Grid:
    """The finer of two lattices, grown to cover the other too."""
    fine, other = (a, b) if math.prod(a.spacing) <= math.prod(b.spacing) else (b, a)
    return _grown(fine, other.corners())


def _grown(grid: Grid, points: torch.Tensor) -> Grid:
    """`grid` grown by whole voxels until it covers `points` (N, D) LPS mm; wider spaced where that were too many
    voxels."""
    index = (points - grid.matrix[:-1, -1]) @ grid.inverse_matrix[:-1, :-1].T
    low = [min(0, math.floor(v + 1e-6)) for v in index.amin(0).tolist()]
    high = [max(n - 1, math.ceil(v - 1e-6)) for n, v in zip(grid.size, index.amax(0).tolist(), strict=True)]
    grown = grid.cropped(tuple(low), tuple(h - lo + 1 for lo, h in zip(low, high, strict=True)))
    if grown.voxels <= LATTICE_VOXELS:
        return grown
    factor = (grown.voxels / LATTICE_VOXELS) ** (1 / grown.dimension)
    return grown.respaced(tuple(s * factor for s in grown.spacing))


def inverted(transform: Transform) -> tuple[Transform, dict[str, float]]:
    """Moving points to fixed points, and the round trip's error {"mean", "max"} in mm."""
    dense, affine = split(transform, transform.dimension)
    if dense is None:
        return affine.inverse(), {"mean": 0.0, "max": 0.0}
    grid = dense.field.grid
    moved = affine.points(grid.corners())
    # the inverse's field is wanted where the moved lattice lies: there, and no larger than that
    index = (moved - grid.matrix[:-1, -1]) @ grid.inverse_matrix[:-1, :-1].T
    low = [math.floor(v + 1e-6) for v in index.amin(0).tolist()]
    high = [math.ceil(v - 1e-6) for v in index.amax(0).tolist()]
    target = grid.cropped(tuple(low), tuple(h - lo + 1 for lo, h in zip(low, high, strict=True)))
    return invert(transform, target)
