"""Matching cost: how well the surroundings of each fixed voxel fit those of the moving voxels near it."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F


def offsets(dimension: int, radius: int, star: int = 0) -> tuple[tuple[int, ...], ...]:
    """Displacements in voxels, ordered I, J(, K): a cube of `radius`, and along the axes alone as far as `star`."""
    cube = [o for o in product(range(-radius, radius + 1), repeat=dimension)]
    rays = [
        tuple(sign * reach if axis == a else 0 for axis in range(dimension))
        for reach in range(radius + 1, star + 1)
        for a in range(dimension)
        for sign in (-1, 1)
    ]
    return tuple(cube + rays)


@torch.no_grad()
def matching_cost(fixed: Tensor, moving: Tensor, displacements: tuple[tuple[int, ...], ...]) -> Tensor:
    """(N, len(displacements), *shape): mean squared difference of features (N, C, *shape) of the fixed voxel and of the
    moving voxel that lies the displacement away; the border's features go on outside. Not differentiable.
    """
    dimension = fixed.dim() - 2
    reach = max(abs(c) for o in displacements for c in o)
    padded = F.pad(moving, (reach,) * (2 * dimension), mode="replicate")
    shape = fixed.shape[2:]
    cost = fixed.new_empty((fixed.shape[0], len(displacements), *shape))
    for number, offset in enumerate(displacements):
        window = [slice(reach + c, reach + c + n) for c, n in zip(reversed(offset), shape, strict=True)]
        difference = fixed - padded[(slice(None), slice(None), *window)]
        torch.mean(difference.square_(), 1, out=cost[:, number])
    return cost


def standardised(cost: Tensor) -> Tensor:
    """Costs less their mean at each voxel, over the deviation of the whole: what is flat stays flat, and scale is
    gone."""
    centred = cost - cost.mean(1, keepdim=True)
    deviation = torch.linalg.vector_norm(centred.flatten(1), dim=1) / (cost[0].numel() ** 0.5)
    return centred / deviation.clamp(min=1e-6).reshape(-1, *[1] * (cost.dim() - 1))


def expected_offset(cost: Tensor, displacements: tuple[tuple[int, ...], ...], sharpness: float = 3.0) -> Tensor:
    """(N, D, *shape): the mean displacement, weighted by exp(-sharpness * standardised cost); Heinrich 2019
    (PDD-Net)."""
    weight = torch.softmax(-sharpness * cost, 1)
    table = torch.tensor(displacements, dtype=weight.dtype, device=weight.device)
    return torch.einsum("no...,od->nd...", weight, table)
