"""How rough a field is."""

from __future__ import annotations

from torch import Tensor


def diffusion(field: Tensor) -> Tensor:
    """Mean squared forward difference along every axis of a field (N, D, *shape); Balakrishnan et al. 2019, eq. 6."""
    dimension = field.shape[1]
    total = 0.0
    for axis in range(2, 2 + dimension):
        total = total + field.diff(dim=axis).square().mean()
    return total / dimension
