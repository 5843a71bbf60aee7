"""How far a field is to be trusted, place by place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .unet import CONVOLUTION, INTERPOLATION

MOST = 3.0  # a weight lies between exp(-MOST) and exp(MOST)


class Confidence(nn.Module):
    """Weights for networks.affine_field.affine_part: a field is poor where the images show little or leave the view,
    and all that it says there draws its affine part to no displacement.

    A small network that begins with the weight 1 everywhere. width: channels.
    """

    def __init__(self, dimension: int, width: int = 8) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]
        self.layers = nn.Sequential(
            conv(3 + dimension, width, 3, 1, 1), nn.LeakyReLU(0.2),
            conv(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2),
            conv(2 * width, 2 * width, 3, 1, 1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.last = conv(2 * width, 1, 3, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, images: list[Tensor], displacement: Tensor) -> Tensor:
        """images: fixed, moving as the field puts it, and how they differ, each (N, 1, *shape); displacement: the
        field, (N, D, *shape) voxels. Returns (N, 1, *shape) float32 weights."""
        logits = self.last(self.layers(torch.cat([*images, displacement], 1))).float()
        logits = nn.functional.interpolate(logits, size=images[0].shape[2:], mode=INTERPOLATION[displacement.shape[1]])
        return torch.exp(MOST * torch.tanh(logits / MOST))
