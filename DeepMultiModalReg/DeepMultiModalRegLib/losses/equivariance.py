"""Losses of the equivariant method (Hachicha, Le, Wargnier-Dauchelle, Sdika, MILLanD 2023), in 2D and 3D.

Every matrix is (N, D + 1, D + 1), homogeneous. R(I) maps points of the template's frame to points of the image I, so
that I o R(I) lies in the template's frame; I o B is the image I read at B(x). Then B R(I o B) = R(I).
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 4.0  # K: how many times larger or smaller than the template an image may be before L_size speaks
FLAT = 1e-3  # singular values below count as this one, so that the logarithm and its slope stay finite


def frobenius(difference: Tensor) -> Tensor:
    """(N,) squared Frobenius norm. Mixes numbers without a unit with translations in the matrix's unit."""
    return difference.square().sum((-2, -1))


def grid_points(half: Tensor) -> Tensor:
    """(3 ** D, D + 1) homogeneous points of a 3 x 3 (x 3) grid about the middle; half: (D,) half its extent."""
    steps = torch.tensor([-1.0, 0.0, 1.0], dtype=half.dtype, device=half.device)
    points = torch.cartesian_prod(*[steps * h for h in half])
    return torch.cat([points, points.new_ones(len(points), 1)], 1)


def grid(difference: Tensor, points: Tensor) -> Tensor:
    """(N,) sum over `points` (P, D + 1) of how far the two maps carry a point apart, in the matrices' unit."""
    return lengths(difference @ points.T.to(difference)).sum(-1)


def lengths(homogeneous_points: Tensor) -> Tensor:
    """(N, D + 1, P) differences to (N, P) lengths; smooth at zero."""
    return (homogeneous_points[:, :-1].square().sum(1) + 1e-12).sqrt()


def equivariance(moved: Tensor, b: Tensor, plain: Tensor, norm=frobenius) -> Tensor:
    """L_equiv: B R(I o B) against R(I); moved = R(I o B), plain = R(I)."""
    return norm(b @ moved - plain).mean()


def reference(moved: Tensor, b: Tensor, norm=frobenius) -> Tensor:
    """L_ref, and the second step's and the supervised loss: B R(I o B) against the identity, for images I that lie in
    the template's frame."""
    return norm(b @ moved - torch.eye(b.shape[-1], dtype=b.dtype, device=b.device)).mean()


def size(matrices: Tensor, largest: float = LARGEST) -> Tensor:
    """L_size: relu(1 / K - s) + relu(s - K) over the singular values s of the linear parts."""
    s = _singular_values(matrices)
    return ((1 / largest - s).relu() + (s - largest).relu()).sum(-1).mean()


def anisotropy(matrices: Tensor) -> Tensor:
    """L_anis: (log smin - log smax) squared, over the linear parts."""
    s = _singular_values(matrices).clamp(min=FLAT).log()
    return (s.amin(-1) - s.amax(-1)).square().mean()


def _singular_values(matrices: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrices[:, :-1, :-1].float())
