"""A small additive translator: what has to be added to one image to look like another one's modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .unet import CONVOLUTION


class AdditiveMask(nn.Module):
    """One channel to add to the moving image so that it takes the fixed image's grey levels (G2 of hierarchical).

    The paper's G2 is a U-Net on both images, and such a network can paint the fixed's anatomy into the moving. Here the
    fixed reaches the output only through a code that is averaged over the whole image, so it can tell which grey level
    becomes which, and cannot tell where; the mask itself sees the moving alone, through `layers` convolutions of 3
    voxels.

    forward(moving, fixed, aligned): each (N, 1, *shape); `aligned` is the moving image warped by the first field, whose
    joint grey levels with the fixed make the code. Returns (N, 1, *shape).
    """

    def __init__(self, dimension: int, width: int = 16, code: int = 64) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]
        self.axes = tuple(range(2, 2 + dimension))
        self.joint = nn.Sequential(
            conv(2, width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            conv(width, code, 1),
            nn.LeakyReLU(0.2),
            conv(code, code, 1),
            nn.LeakyReLU(0.2),
        )
        self.scale_shift = nn.Sequential(nn.Linear(code, code), nn.LeakyReLU(0.2), nn.Linear(code, 4 * width))
        self.first = conv(1, width, 3, 1, 1)
        self.second = conv(width, width, 3, 1, 1)
        self.last = conv(width, 1, 1)
        nn.init.zeros_(self.scale_shift[-1].bias)
        nn.init.normal_(self.last.weight, 0, 1e-2)
        nn.init.zeros_(self.last.bias)

    def forward(self, moving: Tensor, fixed: Tensor, aligned: Tensor) -> Tensor:
        code = self.joint(torch.cat([fixed, aligned], 1)).float().mean(self.axes)
        gates = self.scale_shift(code)[(...,) + (None,) * len(self.axes)].chunk(4, 1)
        x = nn.functional.leaky_relu(self.first(moving) * (1 + gates[0]) + gates[1], 0.2)
        x = nn.functional.leaky_relu(self.second(x) * (1 + gates[2]) + gates[3], 0.2)
        return self.last(x)
