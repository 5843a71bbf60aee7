"""Image: voxels and the lattice they lie on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .errors import InputError
from .grid import Grid


@dataclass(frozen=True)
class Image:
    """tensor: (C, K, J, I) or (C, J, I), any real dtype; grid: where its voxels lie (LPS mm).

    Raises InputError when the tensor's shape is not the grid's.
    """

    tensor: Tensor
    grid: Grid

    def __post_init__(self) -> None:
        if tuple(self.tensor.shape[1:]) != self.grid.shape:
            raise InputError(
                f"The voxel array {tuple(self.tensor.shape)} does not fit its lattice {self.grid.shape}; "
                "the first axis counts channels, the others are the lattice's in reverse order."
            )

    @property
    def channels(self) -> int:
        return self.tensor.shape[0]

    def to(self, *args, **kwargs) -> Image:
        """The same image with the tensor on another device or of another dtype (as Tensor.to)."""
        return replace(self, tensor=self.tensor.to(*args, **kwargs))

    def with_tensor(self, tensor: Tensor) -> Image:
        """Other voxels on the same lattice."""
        return Image(tensor, self.grid)


def canonical_axes(grid: Grid) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Which index axis lies nearest to each LPS axis, and whether it runs against it.

    Solved as an assignment over all permutations, so that oblique lattices near 45° never name one axis twice.
    """
    from itertools import permutations

    axes = torch.tensor(grid.direction, dtype=torch.float64).reshape(grid.dimension, grid.dimension)
    best = max(
        permutations(range(grid.dimension)),
        key=lambda p: sum(abs(axes[world, index].item()) for world, index in enumerate(p)),
    )
    return best, tuple(axes[world, index].item() < 0 for world, index in enumerate(best))


def reorient(image: Image) -> Image:
    """The same voxels with the index axes permuted and flipped so that they lie nearest to L, P(, S). No resampling."""
    order, flips = canonical_axes(image.grid)
    d = image.grid.dimension
    grid = reoriented_grid(image.grid)
    tensor = image.tensor.permute(0, *(d - order[d - 1 - t] for t in range(d)))
    reversed_axes = [d - world for world in range(d) if flips[world]]
    return Image(torch.flip(tensor, reversed_axes) if reversed_axes else tensor, grid)


def reoriented_grid(grid: Grid) -> Grid:
    """The lattice of `reorient`: the same voxels, named along L, P(, S)."""
    order, flips = canonical_axes(grid)
    d = grid.dimension
    axes = torch.tensor(grid.direction, dtype=torch.float64).reshape(d, d)
    columns = [(-1.0 if flip else 1.0) * axes[:, index] for index, flip in zip(order, flips, strict=True)]
    first = [0.0] * d + [1.0]
    for index, flip in zip(order, flips, strict=True):
        first[index] = grid.size[index] - 1.0 if flip else 0.0
    origin = (grid.matrix @ torch.tensor(first, dtype=torch.float64))[:-1]
    return Grid(
        tuple(grid.size[i] for i in order),
        tuple(grid.spacing[i] for i in order),
        tuple(origin.tolist()),
        tuple(torch.stack(columns, 1).flatten().tolist()),
    )
