"""Random looks of slices: other contrasts, shading, noise and sharpness, so that a pose is read from the anatomy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .deformation import uniform

INSIDE = 0.02  # grey level above which a pixel counts as head
KNOTS = 5


def random_looks(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, 1, *shape) in [0, 1], each with a look of its own; what is background stays so."""
    count = len(images)
    inside = images > INSIDE
    out = _curved(images, generator)
    field = torch.randn(count, 1, 3, 3, generator=generator) * uniform(0, 0.3, generator, count, 1, 1, 1)
    out = out * F.interpolate(field, size=images.shape[2:], mode="bilinear", align_corners=True).exp()
    out = out + torch.randn(images.shape, generator=generator) * uniform(0, 0.06, generator, count, 1, 1, 1)
    return _blurred(torch.where(inside, out, images).clamp(0, 1.5), generator)


def _curved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Grey levels through a curve of its own for each: rising for one half, anything for the other."""
    count = len(images)
    free = uniform(0, 1, generator, count, KNOTS)
    rising = uniform(0.1, 1, generator, count, KNOTS).cumsum(1)
    knots = torch.where(uniform(0, 1, generator, count, 1) < 0.5, rising / rising[:, -1:], free)
    position = images.clamp(0, 1) * (KNOTS - 1)
    low = position.long().clamp(max=KNOTS - 2)
    flat = low.flatten(1)
    start, end = knots.gather(1, flat), knots.gather(1, flat + 1)
    return start.reshape(images.shape) + (end - start).reshape(images.shape) * (position - low)


def _blurred(images: Tensor, generator: torch.Generator) -> Tensor:
    """A Gaussian of up to 1.5 pixels, its own for each image."""
    count, _, *shape = images.shape
    sigma = uniform(0.2, 1.5, generator, count, 1)
    line = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma).square())
    line = line / line.sum(1, keepdim=True)
    flat = images.reshape(1, count, *shape)
    flat = F.conv2d(flat, line[:, None, :, None], padding=(3, 0), groups=count)
    return F.conv2d(flat, line[:, None, None, :], padding=(0, 3), groups=count).reshape(images.shape)
