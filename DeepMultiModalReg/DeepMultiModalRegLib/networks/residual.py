"""A residual translator (Johnson et al. 2016; the generator of pix2pix and CycleGAN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .unet import CONVOLUTION

NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, dimension: int, width: int, norm: bool) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]
        self.layers = nn.Sequential(
            conv(width, width, 3, 1, 1),
            NORM[dimension](width) if norm else nn.Identity(),
            nn.ReLU(inplace=True),
            conv(width, width, 3, 1, 1),
            NORM[dimension](width) if norm else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResidualTranslator(nn.Module):
    """A stem, two halvings, `blocks` residual blocks, back to the full resolution: (N, 1, *shape) to the same.

    The published generators end in tanh on [-1, 1]; here grey levels lie in [0, 1] and the output is what is added to
    the image, so that it begins as the identity. Shapes are multiples of 4. Upsampling repeats voxels and convolves:
    transposed convolutions leave a chequered pattern. norm: instance normalisation, as published.
    """

    def __init__(self, dimension: int, width: int = 64, blocks: int = 9, norm: bool = True) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]

        def step(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
            normed = NORM[dimension](outputs) if norm else nn.Identity()
            return [conv(inputs, outputs, kernel, stride, kernel // 2), normed, nn.ReLU(inplace=True)]

        self.down = nn.Sequential(*step(1, width, 7), *step(width, 2 * width, 3, 2), *step(2 * width, 4 * width, 3, 2))
        self.middle = nn.Sequential(*(ResidualBlock(dimension, 4 * width, norm) for _ in range(blocks)))
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), *step(4 * width, 2 * width, 3), nn.Upsample(scale_factor=2),
            *step(2 * width, width, 3),
        )  # fmt: skip
        self.last = conv(width + 1, 1, 3, 1, 1)
        nn.init.normal_(self.last.weight, 0, 1e-3)
        nn.init.zeros_(self.last.bias)

    def forward(self, image: Tensor) -> Tensor:
        return image + self.last(torch.cat([self.up(self.middle(self.down(image))), image], 1)).float()
