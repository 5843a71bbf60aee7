"""How well poses are found: Mat_err, theta_45, theta_90 (the equivariant paper's), and the error in mm beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses.equivariance import grid_points, lengths


@dataclass(frozen=True)
class PoseErrors:
    """One number for each of N trials.

    matrix: Frobenius norm of B R(I o B) - Id, translations counted in lengths of `unit` pixels (mixes units).
    rotation: degrees by which the found pose is turned wrongly, 180 for a mirrored one. grid: mm, mean over a 3 x 3
    (x 3) grid over the image of how far a point of the template's frame ends from where it should.
    """

    matrix: Tensor
    rotation: Tensor
    grid: Tensor

    def summary(self) -> dict[str, float]:
        """mat_err and its sd, theta_45 and theta_90 in % of the trials, mean and median grid error in mm."""
        return {
            "mat_err": self.matrix.mean().item(),
            "mat_err_sd": self.matrix.std().item(),
            "theta_45": 100 * (self.rotation > 45).double().mean().item(),
            "theta_90": 100 * (self.rotation > 90).double().mean().item(),
            "grid_mm": self.grid.mean().item(),
            "grid_median_mm": self.grid.median().item(),
        }


def pose_errors(found: Tensor, b: Tensor, shape: tuple[int, ...], unit: float, spacing: float) -> PoseErrors:
    """found = R(I o B), b = B: (N, D + 1, D + 1), translations in lengths of `unit` pixels about the middle; I lies in
    the template's frame. shape, spacing (mm): of the image."""
    residual = b.double() @ found.double()
    difference = residual - torch.eye(residual.shape[-1], dtype=residual.dtype)
    points = grid_points(torch.tensor(shape[::-1], dtype=residual.dtype) / 2 / unit)
    return PoseErrors(
        difference.square().sum((-2, -1)).sqrt(),
        rotation_angle(residual[:, :-1, :-1]),
        lengths(difference @ points.T).mean(-1) * unit * spacing,
    )


def rotation_angle(linear: Tensor) -> Tensor:
    """(N,) degrees of the rotation nearest to each (N, D, D) matrix (its polar factor); 180 where it is a mirror."""
    d = linear.shape[-1]
    u, _, vh = torch.linalg.svd(linear)
    polar = u @ vh
    trace = polar.diagonal(dim1=-2, dim2=-1).sum(-1)
    cosine = trace / 2 if d == 2 else (trace - 1) / 2
    degrees = cosine.clamp(-1, 1).acos() * (180 / math.pi)
    return torch.where(torch.linalg.det(linear) > 0, degrees, torch.full_like(degrees, 180.0))
