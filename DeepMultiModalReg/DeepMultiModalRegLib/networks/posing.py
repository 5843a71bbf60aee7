"""Posing: slices read where affine matrices say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def moved(images: Tensor, matrices: Tensor, unit: float) -> Tensor:
    """I o B on the images' own lattice; as read_at."""
    return read_at(images, matrices, unit, tuple(images.shape[2:]), 1.0)


def read_at(
    images: Tensor, matrices: Tensor, unit: float, shape: tuple[int, ...], pixel: float, fine: int = 1
) -> Tensor:
    """I o B, (N, C, *shape): images (N, C, *any) read at B(x), zero outside; B (N, 3, 3), components I, J, in lengths
    of `unit` pixels of the images, about the middles of both lattices. pixel: width of the new ones in the images';
    each is the mean of fine x fine samples, for views that may be much coarser than the images. In float32
    whatever the autocast says, as networks.warp.warp."""
    with torch.autocast(images.device.type, enabled=False):
        there = matrices.new_tensor(images.shape[:1:-1]) / 2 / unit
        here = matrices.new_tensor(shape[::-1]) * pixel / 2 / unit
        theta = matrices[:, :2].clone()
        theta[:, :, :2] = theta[:, :, :2] * here / there[:, None]
        theta[:, :, 2] = theta[:, :, 2] / there
        grid = F.affine_grid(theta, [*images.shape[:2], *(fine * n for n in shape)], align_corners=False)
        read = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return read if fine == 1 else F.avg_pool2d(read, fine)
