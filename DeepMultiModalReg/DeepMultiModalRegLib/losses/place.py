"""Whether features say where one is: the same place in two images against places a little way off."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

REACHES = (1, 2, 4)  # voxels to the places that are told apart from the right one
TEMPERATURE = 0.1  # mean squared difference of features, of deviation 1, that makes a place e times less likely


def displaced_places(dimension: int, reaches: tuple[int, ...] = REACHES) -> tuple[tuple[int, ...], ...]:
    """Displacements in voxels, ordered as the axes of an image: none first, then every neighbour at each reach."""
    around = [step for step in product((-1, 0, 1), repeat=dimension) if any(step)]
    return ((0,) * dimension, *(tuple(reach * c for c in step) for reach in reaches for step in around))


def place_contrast(
    a: Tensor, b: Tensor, inside: Tensor, reaches: tuple[int, ...] = REACHES, temperature: float = TEMPERATURE
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018) over displaced places: -log of how likely b's place x is among its displaced
    ones by the features of a at x, and the other way round; the mean over `inside`.

    a, b: (N, C, *shape) features of two aligned images, of deviation about 1; inside: (N, 1, *shape) weights. The
    likelihood is exp(-mean squared difference / temperature), for squared difference is what matching and refinement
    compare features by. 0 where every right place is told for certain; log of the number of places where none is told.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        return 0.5 * (_surprise(a, b, inside, reaches, temperature) + _surprise(b, a, inside, reaches, temperature))


def _surprise(a: Tensor, b: Tensor, inside: Tensor, reaches: tuple[int, ...], temperature: float) -> Tensor:
    shape, reach = a.shape[2:], max(reaches)
    padded = F.pad(b, (reach,) * (2 * len(shape)), mode="replicate")
    scores = []
    for place in displaced_places(len(shape), reaches):
        window = [slice(reach + c, reach + c + n) for c, n in zip(place, shape, strict=True)]
        scores.append((a - padded[(slice(None), slice(None), *window)]).square().mean(1) / -temperature)
    surprise = -torch.log_softmax(torch.stack(scores, 1), 1)[:, :1]
    return (surprise * inside).sum() / inside.sum().clamp(min=1)
