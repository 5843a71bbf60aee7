"""Warping and integrating fields of voxels, batched and differentiable: the inner loop of every network here."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .unet import INTERPOLATION


@lru_cache(maxsize=16)
def identity(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """(1, *shape, D): each voxel's own index, ordered I, J(, K)."""
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None]


def warp(x: Tensor, displacement: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """x (N, C, *shape) read at each voxel plus `displacement` (N, D, *shape), in voxels ordered I, J(, K).

    In float32 whatever the autocast says: half precision coordinates are wrong by half a voxel at 500.
    """
    shape = displacement.shape[2:]
    with torch.autocast(x.device.type, enabled=False):
        position = identity(shape, x.device) + displacement.float().movedim(1, -1)
        size = torch.tensor(x.shape[:1:-1], dtype=torch.float32, device=x.device)
        normal = (position * 2 + 1) / size - 1
        return F.grid_sample(x.float(), normal, mode=mode, padding_mode=padding, align_corners=False)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """exp(velocity) by scaling and squaring (Arsigny et al. 2006): (N, D, *shape) voxels to the same."""
    u = velocity.float() / 2**steps
    for _ in range(steps):
        u = u + warp(u, u)
    return u


def enlarge(displacement: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A displacement on a coarser lattice of the same extent to one of `shape`: finer samples, more voxels per mm."""
    dimension = displacement.shape[1]
    if tuple(displacement.shape[2:]) == tuple(shape):
        return displacement
    ratio = [n / o for n, o in zip(shape, displacement.shape[2:], strict=True)][::-1]
    scale = torch.tensor(ratio, dtype=displacement.dtype, device=displacement.device).reshape(
        1, dimension, *[1] * dimension
    )
    return F.interpolate(displacement, size=shape, mode=INTERPOLATION[dimension], align_corners=False) * scale


def halve(x: Tensor) -> Tensor:
    """(N, C, *shape) averaged over blocks of two voxels a side."""
    return F.avg_pool3d(x, 2) if x.dim() == 5 else F.avg_pool2d(x, 2)


def follow(outer: Tensor, inner: Tensor) -> Tensor:
    """The displacement of x -> outer(inner(x)), both (N, D, *shape) on one lattice: u_in + u_out(x + u_in)."""
    return inner + warp(outer, inner)


def inverted(displacement: Tensor, rounds: int = 20) -> Tensor:
    """The displacement back: v(x) = -u(x + v(x)) by `rounds` of fixed-point iteration, which converges where a unit
    step changes u (N, D, *shape) by less than one (Chen et al. 2008). What is read from beyond the edge is u there."""
    back = torch.zeros_like(displacement)
    for _ in range(rounds):
        back = -warp(displacement, back)
    return back
