"""Levels: the objective of one pair from coarse to fine, by one of the measures there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core import InputError
from ...losses.ncc import standardised
from .described import on_lattice
from .features import mind_features, pooled_rows
from .flow import pooled
from .information import Information
from .objective import SquaredDifference
from .region import Region


@dataclass(frozen=True)
class Measure:
    """stiffness, last: weight of the squared derivative of the velocity, per channel and voxel, on all levels but the
    last and on the last."""

    name: str
    stiffness: float
    last: float


MEASURES = {
    "mind": Measure("MIND-SSC", 0.1, 0.042),
    "mi": Measure("mutual information", 2.0, 2.0),
    "ncc": Measure("local correlation", 0.2, 0.2),
    "model": Measure("the model's features", 0.033, 0.033),
}


def check_measure(by: str) -> Measure:
    """Raises InputError for a measure that nobody knows."""
    if by not in MEASURES:
        raise InputError(f"The measure '{by}' of the refinement is not known; choose one of {', '.join(MEASURES)}.")
    return MEASURES[by]


def check_steps(steps: int) -> None:
    """Raises InputError for a number of steps that is none."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise InputError(
            f"The steps of the refinement must be a whole number from 0 on, not {steps!r}; give 0 for none, or 20, "
            "which ends earlier where nothing is gained."
        )


class Levels:
    """fixed, moving: (N, 1, *shape) in [0, 1]; pool: over how many voxels a side the finest level's features are
    averaged.

    weight, counts: (N, *shape / pool) how much a fixed and a moving voxel count, or None. region: of one volume's
    voxels, outside of which nothing is looked at, or None.
    """

    def __init__(
        self, fixed: Tensor, moving: Tensor, pool: int, measure: Measure,
        features: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> None:  # fmt: skip
        self.fixed, self.moving, self.pool, self.measure = fixed, moving, pool, measure
        self.features = features
        self.described: tuple[Tensor, Tensor] | None = None
        self.weight: Tensor | None = None
        self.counts: Tensor | None = None
        self.region: Region | None = None
        self.channels = 1
        # features lie in [0, 1] or about it and are differenced once: half precision is as good as their noise
        self.dtype = torch.float32 if measure.name == "mutual information" else torch.float16

    @property
    def count(self) -> int:
        return self.fixed.shape[0]

    def objective(self, factor: int, pool: int):
        """The objective of the images made `factor` times coarser, their features averaged over `pool` of those."""
        fixed, moving = (pooled(image, factor) for image in (self.fixed, self.moving))
        weights = (self.weight, self.counts)
        weight, counts = (None if w is None else pooled(w[:, None], factor * pool // self.pool)[:, 0] for w in weights)
        if self.measure.name == "mutual information":
            return Information(pooled(fixed, pool), pooled(moving, pool), weight, counts)
        region = None if self.region is None else self.region.coarser(factor)
        if self.features is None:
            rows = [self._rows(image, pool, region) for image in (fixed, moving)]
        else:
            rows = self._model_rows(tuple(n // pool for n in fixed.shape[2:]))
        self.channels = rows[0].shape[-1]
        return SquaredDifference(*rows, weight, counts, None if region is None else region.coarser(pool))

    def _rows(self, image: Tensor, pool: int, region: Region | None) -> Tensor:
        if self.measure.name == "MIND-SSC":
            return mind_features(image, pool, self.dtype, region)
        return pooled_rows(standardised(image), pool, self.dtype)

    def _model_rows(self, shape: tuple[int, ...]) -> list[Tensor]:
        """A model's features of both images, computed once for all levels."""
        if self.described is None:
            self.described = self.features(self.fixed, self.moving)
        return [on_lattice(x, shape).movedim(1, -1).to(self.dtype).contiguous() for x in self.described]
