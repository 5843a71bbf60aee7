"""Solve: the step that a quadratic model of the objective asks for, smooth by regularisation."""

from __future__ import annotations

import torch
from torch import Tensor

from .flow import neighbours_minus


def entries(dimension: int) -> list[tuple[int, int]]:
    """Which entries of a symmetric matrix are kept, in order."""
    return [(i, j) for i in range(dimension) for j in range(i, dimension)]


def solved(curvature: Tensor, slope: Tensor, stiffness: float, iterations: int) -> Tensor:
    """The x that minimises sum(x' A x / 2 + b' x) + stiffness / 2 * sum of squared differences between neighbours.

    curvature: (N, D (D + 1) / 2, *shape), A of each cell, positive definite; slope: (N, D, *shape), b. By conjugate
    gradients, preconditioned with the inverse of each cell's own matrix; every image of the batch is one problem.
    """
    d = slope.shape[1]
    inverse = _inverse(curvature, d, 2 * d * stiffness)
    over = tuple(range(1, slope.dim()))
    x = torch.zeros_like(slope)
    residual = -slope
    z = _times(inverse, residual, d)
    direction = z.clone()
    rho = (residual * z).sum(over, keepdim=True)
    for _ in range(iterations):
        image = _times(curvature, direction, d).add_(neighbours_minus(direction), alpha=stiffness)
        alpha = rho / (direction * image).sum(over, keepdim=True).clamp(min=1e-30)
        x.addcmul_(alpha.expand_as(x), direction)
        residual.addcmul_(-alpha.expand_as(x), image)
        z = _times(inverse, residual, d)
        following = (residual * z).sum(over, keepdim=True)
        direction = z + (following / rho.clamp(min=1e-30)) * direction
        rho = following
    return x


def _times(matrix: Tensor, x: Tensor, d: int) -> Tensor:
    """Symmetric matrices (N, D (D + 1) / 2, *shape) times vectors (N, D, *shape)."""
    out = torch.zeros_like(x)
    for entry, (i, j) in enumerate(entries(d)):
        out[:, i].addcmul_(matrix[:, entry], x[:, j])
        if i != j:
            out[:, j].addcmul_(matrix[:, entry], x[:, i])
    return out


def _inverse(matrix: Tensor, d: int, extra: float) -> Tensor:
    """The inverse of each matrix with `extra` added to its diagonal."""
    if d == 2:
        a, b, c = matrix[:, 0] + extra, matrix[:, 1], matrix[:, 2] + extra
        return torch.stack([c, -b, a], 1) / (a * c - b * b)[:, None]
    a, b, c, e, f, g = matrix.unbind(1)
    a, e, g = a + extra, e + extra, g + extra
    aa, ab, ac = e * g - f * f, c * f - b * g, b * f - c * e
    determinant = a * aa + b * ab + c * ac
    return torch.stack([aa, ab, ac, a * g - c * c, b * c - a * f, a * e - b * b], 1) / determinant[:, None]
