"""The Jacobian determinant of a transform: how much it grows or shrinks space, and where it folds."""

from __future__ import annotations

import torch
from torch import Tensor

from .grid import Grid
from .transform import Transform, split


def displacement_gradient(u: Tensor, grid: Grid) -> Tensor:
    """(D, D, *shape): entry [r, c] is d u_r / d x_c, both along LPS, of a field u (D, *shape) in mm on `grid`.

    Central differences inside, one-sided at the border; zero along an axis of one voxel.
    """
    d = grid.dimension
    by_index = []
    for axis in range(d):  # index axis I, J(, K) is tensor axis d - axis
        t = d - axis
        by_index.append(torch.gradient(u, dim=t)[0] if u.shape[t] > 1 else torch.zeros_like(u))
    gradient = torch.stack(by_index, 1)
    to_index = grid.inverse_matrix[:d, :d].to(u)
    return torch.einsum("ri...,ic->rc...", gradient, to_index)


def jacobian_determinant(transform: Transform, grid: Grid) -> Tensor:
    """(*shape) float32: the determinant of dT/dx at the grid's voxels; 1 keeps volume, <= 0 is a fold."""
    dense, affine = split(transform, grid.dimension)
    scale = torch.linalg.det(affine.linear).item()
    if dense is None:
        return torch.full(grid.shape, scale)
    m = displacement_gradient(dense.displacement(grid), grid)
    for i in range(grid.dimension):
        m[i, i] += 1
    if grid.dimension == 2:
        det = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    else:
        det = (
            m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
            - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
            + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
        )
    return det * scale


def folds(transform: Transform, grid: Grid) -> float:
    """Percent of the grid's voxels whose Jacobian determinant is not positive."""
    return 100.0 * float((jacobian_determinant(transform, grid) <= 0).float().mean())
