"""Flow: a stationary velocity on a control lattice, and the displacement it leads to."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.parallel import each
from ...networks.unet import INTERPOLATION
from ...networks.warp import warp

LOGARITHM = 8  # iterations of the logarithm: it need not be exact, what follows is optimised
PART = 3  # channels averaged together
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


def logarithm(u: Tensor) -> Tensor:
    """The velocity whose exponential comes near to `u`, (N, D, *shape) in voxels of its own lattice: v <- v + u -
    exp(v), as long as that brings it nearer. Fields that fold have none; theirs is smoother than they are."""
    best, smallest = torch.zeros_like(u), float(u.square().mean())
    velocity = u
    for _ in range(LOGARITHM):
        left = u - exponential(velocity)
        size = float(left.square().mean())
        if not size < smallest:
            break
        best, smallest = velocity, size
        velocity = velocity + left
    return best


def displacement(velocity: Tensor, shape: tuple[int, ...], stride: int) -> Tensor:
    """(N, D, *control) velocity in voxels of the fine lattice to the displacement (N, D, *shape) there."""
    u = exponential(velocity / stride) * stride
    return spread(u, shape, stride)


def spread(control: Tensor, shape: tuple[int, ...], stride: int) -> Tensor:
    """Linear interpolation of (N, D, *control) to (N, D, *shape); control cells cover `stride` voxels each."""
    if stride == 1:
        return control
    size = tuple(n * stride for n in control.shape[2:])
    inside = (slice(None), slice(None), *(slice(0, n) for n in shape))
    out = torch.empty((*control.shape[:2], *shape), dtype=control.dtype, device=control.device)

    def component(axis: int) -> None:
        one = control[:, axis : axis + 1]
        fine = F.interpolate(one, size=size, mode=INTERPOLATION[len(shape)], align_corners=False)
        out[:, axis : axis + 1] = fine[inside]

    each(component, range(control.shape[1]))
    return out


def pooled(x: Tensor, stride: int) -> Tensor:
    """(N, C, *shape) averaged over the cells of the control lattice."""
    if stride == 1:
        return x
    pool = F.avg_pool3d if x.dim() == 5 else F.avg_pool2d
    parts = each(lambda part: pool(part, stride, ceil_mode=True, count_include_pad=False), x.split(PART, 1))
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def resized(velocity: Tensor, stride: int, control: tuple[int, ...], new_stride: int, ratio: float) -> Tensor:
    """A velocity in voxels of one lattice, its control cells `stride` of them, on a control lattice of `new_stride`
    voxels a cell of another that begins at the same corner; ratio: voxels of the new lattice to one of the old."""
    axes = []
    for n, old in zip(control, velocity.shape[2:], strict=True):
        centre = (torch.arange(n, dtype=torch.float32, device=velocity.device) + 0.5) * new_stride / ratio
        axes.append(centre * (2 / (old * stride)) - 1)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None].expand(velocity.shape[0], *control, -1)
    return F.grid_sample(velocity, grid, padding_mode="border", align_corners=False) * ratio


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
