"""Body: where in space an image shows something, as a set of points."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Grid, Image
from .foreground import thinned, threshold
from .masks import Mask

TRIM = 0.001  # share of points that may stick out of the box on each side: specks of noise in the air


def body_points(image: Image, mask: Mask | None = None) -> Tensor:
    """(N, D) float64 LPS mm: voxels of the foreground, thinned; within the mask where there is one.

    A mask that holds no foreground (drawn in a dark region) counts by itself.
    """
    sparse = thinned(image)
    inside = sparse.tensor[0] > threshold(image.tensor[0])
    if mask is not None:
        masked = mask.on(sparse.grid)
        if not masked.any():
            return mask.points()
        inside = inside & masked if (inside & masked).any() else masked
    return lattice_points(sparse.grid, inside)


def lattice_points(grid: Grid, inside: Tensor) -> Tensor:
    """(N, D) float64 LPS mm of the voxels of `grid` that are True in `inside` (*shape)."""
    index = torch.nonzero(inside).flip(-1).double()
    return index @ grid.matrix[:-1, :-1].T + grid.matrix[:-1, -1]


def covered(grid: Grid, points: Tensor) -> Tensor:
    """(N,) bool: which LPS points (N, D) lie in the space that the voxels of `grid` fill."""
    index = points @ grid.inverse_matrix[:-1, :-1].T.to(points) + grid.inverse_matrix[:-1, -1].to(points)
    return ((index >= -0.5) & (index <= torch.tensor(grid.size).to(points) - 0.5)).all(-1)


def box(points: Tensor) -> tuple[Tensor, Tensor]:
    """((D,), (D,)): lowest and highest coordinate of points (N, D), a trimmed share left out on each side."""
    lines = points.T.contiguous()
    skip = int(TRIM * len(points))
    # the k-th smallest, counted from one; a sort takes ten times longer
    return lines.kthvalue(skip + 1, 1).values, lines.kthvalue(len(points) - skip, 1).values
