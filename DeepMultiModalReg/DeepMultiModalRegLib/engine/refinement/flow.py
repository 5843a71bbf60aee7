"""Flow: a stationary velocity on a control lattice, and the displacement it leads to."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...networks.unet import INTERPOLATION
from ...networks.warp import warp

SMALL = 0.25  # voxels of the control lattice: a displacement below is its own exponential


def control_shape(shape: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(max(1, math.ceil(n / stride)) for n in shape)


def exponential(velocity: Tensor) -> Tensor:
    """exp(velocity) by scaling and squaring (Arsigny et al. 2006), with as many squarings as its size asks for.

    (N, D, *shape) in voxels of its own lattice, to the same.
    """
    largest = float(velocity.abs().max())
    steps = max(0, math.ceil(math.log2(max(largest, 1e-9) / SMALL)))
    u = velocity / 2**steps
    for _ in range(steps):
        u = u + warp(u, u)
    return u


def displacement(velocity: Tensor, shape: tuple[int, ...], stride: int) -> Tensor:
    """(N, D, *control) velocity in voxels of the fine lattice to the displacement (N, D, *shape) there."""
    u = exponential(velocity / stride) * stride
    return spread(u, shape, stride)


def spread(control: Tensor, shape: tuple[int, ...], stride: int) -> Tensor:
    """Linear interpolation of (N, D, *control) to (N, D, *shape); control cells cover `stride` voxels each."""
    if stride == 1:
        return control
    size = tuple(n * stride for n in control.shape[2:])
    out = F.interpolate(control, size=size, mode=INTERPOLATION[len(shape)], align_corners=False)
    return out[(slice(None), slice(None), *(slice(0, n) for n in shape))]


def pooled(x: Tensor, stride: int) -> Tensor:
    """(N, C, *shape) averaged over the cells of the control lattice."""
    if stride == 1:
        return x
    pool = F.avg_pool3d if x.dim() == 5 else F.avg_pool2d
    return pool(x, stride, ceil_mode=True, count_include_pad=False)


def resized(velocity: Tensor, control: tuple[int, ...], factor: float) -> Tensor:
    """A velocity on another control lattice over the same space, `factor` times as many voxels a millimetre."""
    if tuple(velocity.shape[2:]) == tuple(control):
        return velocity * factor
    mode = INTERPOLATION[velocity.dim() - 2]
    return F.interpolate(velocity, size=control, mode=mode, align_corners=False) * factor


def neighbours_minus(x: Tensor) -> Tensor:
    """The negative Laplacian of (N, D, *shape), no flow through the border: sum over neighbours of x - neighbour."""
    out = torch.zeros_like(x)
    for axis in range(2, x.dim()):
        if x.shape[axis] == 1:
            continue
        step = x.diff(dim=axis)
        out.narrow(axis, 0, x.shape[axis] - 1).sub_(step)
        out.narrow(axis, 1, x.shape[axis] - 1).add_(step)
    return out
