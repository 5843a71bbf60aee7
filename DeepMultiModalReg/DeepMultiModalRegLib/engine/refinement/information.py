"""Information: how little two images tell of each other under a displacement, by mutual information."""

from __future__ import annotations

import torch
from torch import Tensor

from ...losses.joint import information_table
from .objective import Quadratic, central
from .reading import read_rows
from .solve import entries


class Information:
    """Minus the mutual information of two images of grey levels, one histogram for the whole batch.

    The model is Fisher's scoring: a voxel's slope along the moving grey level is that of the logarithm of
    p(f, m) / (p(f) p(m)), its curvature the slope's square.
    """

    def __init__(
        self, fixed: Tensor, moving: Tensor, weight: Tensor | None = None, counts: Tensor | None = None, bins: int = 32
    ):
        """fixed, moving: (N, 1, *shape) in [0, 1]; weight, counts: as SquaredDifference."""
        self.bins = bins
        self.shape = tuple(fixed.shape[2:])
        self.fixed_bin = (fixed.float() * bins).long().clamp(0, bins - 1)
        self.moving = moving.float().movedim(1, -1).contiguous()
        self.weight = weight
        self.counts = None if counts is None else counts.float()[..., None].contiguous()

    def around(self, displacement: Tensor, model: bool = True) -> Quadratic:
        """displacement: (N, D, *shape), voxels."""
        n, d = displacement.shape[:2]
        moved = read_rows(self.moving, displacement).movedim(-1, 1)
        weight = torch.ones_like(moved) if self.weight is None else self.weight[:, None].expand_as(moved)
        if self.counts is not None:
            weight = weight * read_rows(self.counts, displacement).movedim(-1, 1)
        information, slope_of = information_table(
            self.fixed_bin.reshape(-1), moved.reshape(1, -1), weight.reshape(1, -1), self.bins
        )
        energy = -information.expand(n).clone()
        if not model:
            return Quadratic(energy, displacement, displacement)
        slope_along_grey = -slope_of.reshape(moved.shape) * (self.bins - 1)
        gradients = [central(moved, 1 + d - axis) for axis in range(d)]
        rows = torch.cat([slope_along_grey * g for g in gradients], 1)
        slope = rows * weight
        curvature = torch.stack([rows[:, i] * slope[:, j] for i, j in entries(d)], 1)
        return Quadratic(energy, slope, curvature)
