"""Canonical view: a slice read so that what it shows of a head has the same middle and spread whatever its pose."""

from __future__ import annotations

import torch
from torch import Tensor

SPREAD = 0.33  # units, standard deviation of the head in the view; a disc of it has a radius of twice that
ZOOM = (0.3, 2.6)  # limits of the view's stretch, image per view: what one sees may be a small piece of a head
EDGE = (0.05, 0.15)  # grey levels (of 0 to 1) from background to head


def moments(images: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Middle (N, 2) and covariance (N, 2, 2) of what images (N, C, *shape) in [0, 1] show of heads; lengths of `unit`
    pixels about the lattice's middle, components I, J."""
    lines = [(torch.arange(n, device=images.device) - (n - 1) / 2) / unit for n in images.shape[2:]]
    points = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1], -1).reshape(-1, 2)
    weights = ((images.float().amax(1).flatten(1) - EDGE[0]) / (EDGE[1] - EDGE[0])).clamp(0, 1) + 1e-7
    weights = weights / weights.sum(1, keepdim=True)
    middle = weights @ points
    away = points - middle[:, None]
    return middle, torch.einsum("np,npi,npj->nij", weights, away, away)


def canonical(images: Tensor, unit: float) -> Tensor:
    """M of images (N, C, *shape) in [0, 1]: (N, 3, 3), in lengths of `unit` pixels about the lattice's middle.

    I o M shows the head with its middle in the middle and a covariance of SPREAD squared along every axis. For a head
    wholly in view it undoes shift, scale and shear: I o B o M(I o B) is I o M(I) but for a turn (Sato and Cipolla 1997,
    affine normalisation by moments). Where a head is cut off it still makes poses less different.
    """
    with torch.autocast(images.device.type, enabled=False):
        middle, covariance = moments(images, unit)
        values, axes = torch.linalg.eigh(covariance)
        stretch = (values.clamp(min=0).sqrt() / SPREAD).clamp(*ZOOM)
        view = torch.eye(3, device=images.device).repeat(len(images), 1, 1)
        view[:, :2, :2] = axes @ torch.diag_embed(stretch) @ axes.transpose(1, 2)
        view[:, :2, 2] = middle
        return view
