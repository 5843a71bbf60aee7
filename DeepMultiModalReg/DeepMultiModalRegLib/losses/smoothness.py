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


def bilateral(field: Tensor, image: Tensor, alpha: float = 10.0) -> Tensor:
    """`diffusion` of which each difference counts exp(-alpha |difference of the image there|), so that a field may
    change quickly where the image does (Arar et al. 2020, after Tomasi and Manduchi 1998).

    field: (N, D, *shape); image: (N, 1, *shape) in [0, 1], the warped one; it gets no gradient from here. alpha: 10
    lets a step of 0.1 in grey level count a third; 0 is `diffusion`.
    """
    dimension = field.shape[1]
    total = 0.0
    for axis in range(2, 2 + dimension):
        weight = (-alpha * image.detach().float().diff(dim=axis).abs()).exp()
        total = total + (weight * field.diff(dim=axis).square()).mean()
    return total / dimension
