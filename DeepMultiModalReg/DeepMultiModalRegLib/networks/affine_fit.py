"""Affine fit: the affine map that best sends points to predicted places, never a mirrored one."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 4  # of reweighting
ANISOTROPY = 1.7  # longest to shortest stretch at most


def fit_affine(
    points: Tensor,
    places: Tensor,
    weights: Tensor,
    stretch: tuple[float, float],
    tolerance: float,
    anisotropy: float = ANISOTROPY,
) -> tuple[Tensor, Tensor, Tensor]:
    """The map x -> A x + t from `points` to `places` by iterated weighted least squares, with det A > 0.

    points: (N, D), any unit; places: (B, N, D), another unit; weights: (B, N), not negative. stretch: least and
    greatest stretch, in places per points; anisotropy: longest to shortest of them at most. tolerance: a residual of
    this length (in the places' unit) halves a point's weight (Geman and McClure 1987, by reweighting), so that a part
    of the head that went astray does not count.
    Returns (matrix (B, D + 1, D + 1), residual (B,), the weighted root mean square, share (B,), the share of the weight
    that was kept). Differentiable but for the choice of weights and the limits.

    The rotation is the proper one nearest to the least-squares matrix (Kabsch 1976, Umeyama 1991), the stretch its
    symmetric part with limited eigenvalues: whatever the places are, the answer is not mirrored.
    """
    base = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
    factor = torch.ones_like(base)
    for turn in range(ROUNDS):
        weight = base * factor
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-12)
        linear, shift = _least_squares(points, places, weight)
        if turn == ROUNDS - 1:
            linear, shift = _proper(linear, shift, points, weight, stretch, anisotropy)
        away = (points @ linear.transpose(1, 2) + shift[:, None] - places).square().sum(-1)
        with torch.no_grad():
            wide = tolerance * (1.0 + 2.0 * (ROUNDS - 2 - turn if turn < ROUNDS - 1 else 0))
            factor = (1 + away / wide**2).reciprocal().square()
    last = torch.eye(points.shape[1] + 1, dtype=places.dtype, device=places.device)[-1:].expand(len(places), -1, -1)
    matrix = torch.cat([torch.cat([linear, shift[:, :, None]], 2), last], 1)
    return matrix, (base * away).sum(1).sqrt(), (base * factor).sum(1)


def _least_squares(points: Tensor, places: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(B, D, D) and (B, D): the weighted least-squares map, drawn a little toward shrinking where points are few."""
    p0 = torch.einsum("bn,ni->bi", weight, points)
    q0 = torch.einsum("bn,bni->bi", weight, places)
    spread = torch.einsum("bn,ni,nj->bij", weight, points, points) - p0[:, :, None] * p0[:, None]
    cross = torch.einsum("bn,bni,nj->bij", weight, places, points) - q0[:, :, None] * p0[:, None]
    size = spread.diagonal(dim1=1, dim2=2).mean(1)
    eye = torch.eye(points.shape[1], dtype=spread.dtype, device=spread.device)
    linear = torch.linalg.solve(spread + (1e-3 * size + 1e-9)[:, None, None] * eye, cross, left=False)
    return linear, q0 - torch.einsum("bij,bj->bi", linear, p0)


def _proper(linear: Tensor, shift: Tensor, points: Tensor, weight: Tensor, stretch, anisotropy: float):
    """The map with a proper rotation and limited stretch nearest to `linear`, about the points' weighted middle."""
    middle = torch.einsum("bn,ni->bi", weight, points)
    limited = proper(linear, stretch, anisotropy)
    moved = torch.einsum("bij,bj->bi", linear - limited, middle)
    return limited, shift + moved


def proper(linear: Tensor, stretch: tuple[float, float], anisotropy: float = ANISOTROPY) -> Tensor:
    """(B, D, D) to rotation times symmetric stretch within the limits, det > 0; what lies within them is kept."""
    u, s, vh = torch.linalg.svd(linear.detach().double())
    sign = torch.ones_like(s)
    sign[:, -1] = torch.linalg.det(u) * torch.linalg.det(vh)
    signed = s * sign  # a mirrored matrix has a negative last one here: it is lifted to the limit
    low, high = stretch
    wanted = signed.clamp(low, high)
    top = wanted.amax(1, keepdim=True)
    wanted = torch.maximum(wanted, top / anisotropy)
    exact = (u * sign[:, None]) @ (wanted[:, :, None] * vh)
    kept = (wanted - signed).abs().amax((1,)) < 1e-9
    return torch.where(kept[:, None, None], linear, exact.to(linear))
