"""Normalisations by an image's own mean and deviation, in float32 whatever the network around them runs in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOOR = 1e-5  # of the variance: what is flat becomes zero


def standardised(x: Tensor, first: int = 2, floor: float = FLOOR, where: Tensor | None = None) -> Tensor:
    """x (N, C, *shape) with mean 0 and deviation 1 over the axes from `first` on, of `where` (N, 1, *shape) alone if it
    is given, weights in [0, 1], some above zero; float32.

    Sums in half precision overflow at 65504 and lose small voxels, and a batch of one has no statistics of its own to
    lend: here every image has them alone, and one voxel, or a flat image, is zero.
    """
    with torch.autocast(x.device.type, enabled=False):
        wide = x.float()
        axes = tuple(range(first, x.dim()))
        if where is None:
            centred = wide - wide.mean(axes, keepdim=True)
            return centred * (centred.square().mean(axes, keepdim=True) + floor).rsqrt()
        weight = where.float() / where.float().sum(axes, keepdim=True)
        centred = wide - (wide * weight).sum(axes, keepdim=True)
        return centred * ((centred.square() * weight).sum(axes, keepdim=True) + floor).rsqrt()


class AdaptiveNorm(nn.Module):
    """AdaIN (Huang and Belongie 2017): each channel's own statistics are replaced by given ones.

    forward(x (N, C, *shape), gain (N, C), bias (N, C)): standardised x times (1 + gain) plus bias, in x's type.
    """

    def forward(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        spread = (...,) + (None,) * (x.dim() - 2)
        return (standardised(x) * (1 + gain.float()[spread]) + bias.float()[spread]).to(x.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016) as after a decoder's upsampling in MUNIT (Huang et al. 2018): over all
    channels and voxels of one image, so that the channels' relations, which carry the style, remain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        spread = (slice(None),) + (None,) * (x.dim() - 2)
        return (standardised(x, 1) * self.gain[spread] + self.bias[spread]).to(x.dtype)
