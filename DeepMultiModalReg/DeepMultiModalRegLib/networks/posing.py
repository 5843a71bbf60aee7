"""Posing: slices read where affine matrices say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def moved(images: Tensor, matrices: Tensor, unit: float) -> Tensor:
    """I o B: images (N, C, *shape) read at B(x), zero outside; B (N, 3, 3) about the lattice's middle, components I, J,
    in lengths of `unit` pixels. In float32 whatever the autocast says, as networks.warp.warp."""
    with torch.autocast(images.device.type, enabled=False):
        half = matrices.new_tensor(images.shape[:1:-1]) / 2
        theta = matrices[:, :2].clone()
        theta[:, :, :2] = theta[:, :, :2] * half / half[:, None]
        theta[:, :, 2] = theta[:, :, 2] * unit / half
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
