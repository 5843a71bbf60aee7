"""Whether features say where one is: the same place in two images against places a little way off."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

REACHES = (1, 2, 4)  # voxels to the places that are told apart from the right one
TEMPERATURE = 0.1  # mean squared difference of features, of deviation 1, that makes a place e times less likely


def displaced_places(dimension: int, reaches: tuple[int, ...] = REACHES) -> tuple[tuple[int, ...], ...]:
    """Displacements in voxels, ordered as the axes of an image: none first, then every neighbour at each reach."""
    around = [step for step in product((-1, 0, 1), repeat=dimension) if any(step)]
    return ((0,) * dimension, *(tuple(reach * c for c in step) for reach in reaches for step in around))


def place_contrast(
    a: Tensor,
    b: Tensor,
    inside: Tensor,
    generator: torch.Generator | None = None,
    samples: int = 1024,
    reaches: tuple[int, ...] = REACHES,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018) over displaced places: -log of how likely b's place x is among its displaced
    ones by the features of a at x, and the other way round; the mean over places drawn from `inside`.

    a, b: (N, C, *shape) features of two aligned images, of deviation about 1; inside: (N, 1, *shape), above zero where
    places count; samples: drawn of each image. The likelihood is exp(-mean squared difference / temperature), for
    squared difference is what matching and refinement compare features by. 0 where every right place is told for
    certain; log of the number of places where none is told, and where nothing counts.
    """
    shape, around = a.shape[2:], torch.tensor(displaced_places(a.dim() - 2, reaches), device=a.device)
    highest = torch.tensor(shape, device=a.device) - 1
    surprises = []
    with torch.autocast(a.device.type, enabled=False):
        for one, other, where in zip(a.float(), b.float(), inside[:, 0], strict=True):
            places = (where > 0).nonzero()
            if not len(places):
                continue
            places = places[torch.randint(len(places), (samples,), generator=generator, device=a.device)]
            near = _flat((places[:, None] + around).clamp_min(0).minimum(highest), shape)  # (samples, places)
            for mine, theirs in ((one, other), (other, one)):
                here = mine.flatten(1).index_select(1, near[:, 0])
                there = theirs.flatten(1).index_select(1, near.flatten()).reshape(len(here), *near.shape)
                scores = (here[..., None] - there).square().mean(0) / -temperature
                surprises.append(-torch.log_softmax(scores, 1)[:, 0].mean())
    if not surprises:
        return a.new_tensor(math.log(len(around)))
    return torch.stack(surprises).mean()


def _flat(places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Places (..., D), ordered as the axes, as numbers in a flattened image."""
    number = places[..., 0]
    for axis in range(1, len(shape)):
        number = number * shape[axis] + places[..., axis]
    return number
