"""Masks: the part of an image that counts, given on any lattice."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Grid, Image, InputError, Transform, resample


class Mask:
    """Where an image counts: every voxel above zero, of a label map, a segmentation or a mask, on its own lattice."""

    def __init__(self, mask: Image, image: Image, role: str) -> None:
        """mask: (C, *shape) any real dtype, a voxel counts where any channel is above zero; image: what it belongs to.

        Raises InputError for a mask of another dimension, an empty one, and one that lies beside its image.
        """
        if not isinstance(mask, Image):
            raise InputError(f"The {role} mask must be an Image (core.Image), not {type(mask).__name__}.")
        if mask.grid.dimension != image.grid.dimension:
            raise InputError(
                f"The {role} mask is {mask.grid.dimension}D but the {role} image is {image.grid.dimension}D; "
                "give a mask drawn on that image."
            )
        inside = (mask.tensor > 0).any(0)
        if not inside.any():
            raise InputError(f"The {role} mask is empty; mark some voxels above zero, or leave the mask out.")
        self._image = Image(inside[None].to(torch.uint8), mask.grid)
        index = (self.points() - image.grid.matrix[:-1, -1]) @ image.grid.inverse_matrix[:-1, :-1].T
        if not ((index >= -0.5) & (index <= torch.tensor(image.grid.size) - 0.5)).all(-1).any():
            raise InputError(
                f"The {role} mask does not overlap the {role} image; "
                "check that it was drawn on this image and that its position in space is right."
            )

    def points(self) -> Tensor:
        """(N, D) float64 LPS mm of the voxels that count."""
        grid = self._image.grid
        index = torch.nonzero(self._image.tensor[0]).flip(-1).double()
        return index @ grid.matrix[:-1, :-1].T + grid.matrix[:-1, -1]

    def on(self, grid: Grid, transform: Transform | None = None) -> Tensor:
        """(*grid.shape) bool: nearest-neighbour value at transform(points of `grid`), False outside the mask's
        lattice."""
        return resample(self._image, grid, transform, "nearest", 0).tensor[0] > 0
