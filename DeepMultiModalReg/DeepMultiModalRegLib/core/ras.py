"""RAS, Slicer's frame, against LPS, the library's: matrices and lattices. Signs change here and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import InputError
from .grid import Grid

FLIP = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))


def switched(matrix: Tensor) -> Tensor:
    """A (4, 4) map of RAS to RAS points as one of LPS to LPS points, and the other way round."""
    return FLIP @ matrix @ FLIP


def grid_of_lattice(ras: Tensor, size: tuple[int, ...]) -> Grid:
    """The lattice whose index (I, J, K, 1) goes to RAS mm by `ras` (4, 4), in LPS."""
    return grid_of_matrix(FLIP @ ras, size)


def grid_of_matrix(matrix: Tensor, size: tuple[int, ...]) -> Grid:
    """The lattice whose index (I, J, K, 1) goes to LPS mm by `matrix` (4, 4), sheared or not."""
    spacing = matrix[:3, :3].norm(dim=0)
    if not torch.isfinite(matrix).all() or bool((spacing == 0).any()):
        raise InputError("The volume's spacing or axes are zero or not finite; correct them in the Volumes module.")
    axes = (matrix[:3, :3] / spacing).flatten().tolist()
    return Grid(size, tuple(spacing.tolist()), tuple(matrix[:3, 3].tolist()), tuple(axes))


def index_to_ras(grid: Grid) -> Tensor:
    """(4, 4): index (I, J, K, 1) of a 3D lattice to RAS mm."""
    return FLIP @ grid.matrix
