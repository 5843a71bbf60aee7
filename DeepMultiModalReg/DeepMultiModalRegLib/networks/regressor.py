"""Regressor: one image in, the numbers of one affine matrix out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .unet import CONVOLUTION

INSTANCE_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ResidualLayer(nn.Module):
    """Two convolutions of 3 voxels a side, each followed by InstanceNorm and PReLU, beside one that carries the input
    over (a plain skip where nothing changes). The first convolution has the stride."""

    def __init__(self, dimension: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[dimension], INSTANCE_NORM[dimension]
        self.body = nn.Sequential(
            convolution(inputs, outputs, 3, stride, 1), norm(outputs), nn.PReLU(),
            convolution(outputs, outputs, 3, 1, 1), norm(outputs), nn.PReLU(),
        )  # fmt: skip
        if stride > 1:
            self.skip: nn.Module = convolution(inputs, outputs, 3, stride, 1)
        else:
            self.skip = nn.Identity() if inputs == outputs else convolution(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


class Regressor(nn.Module):
    """Residual layers, stride 2 after the first, and one linear layer (Hachicha et al. 2023).

    widths: channels of the layers. shape: of the images it is made for; every place of the last layer then has weights
    of its own, as published. None: the mean over the last layer, so that any shape works. outputs: how many numbers;
    they begin near zero.
    forward: (N, inputs, *shape) to (N, outputs) float32.
    """

    def __init__(
        self,
        dimension: int,
        outputs: int,
        widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256),
        shape: tuple[int, ...] | None = None,
        inputs: int = 1,
    ) -> None:
        super().__init__()
        channels = (inputs, *widths)
        self.layers = nn.Sequential(
            *(
                ResidualLayer(dimension, a, b, 1 if number == 0 else 2)
                for number, (a, b) in enumerate(zip(channels, widths, strict=False))
            )
        )
        last = shape
        for _ in widths[1:]:
            last = None if last is None else tuple(math.ceil(n / 2) for n in last)
        self.pooled = shape is None
        self.shape = None if shape is None else tuple(shape)
        self.head = nn.Linear(widths[-1] * (1 if last is None else math.prod(last)), outputs)
        nn.init.normal_(self.head.weight, 0, 1e-3)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return self.head(y.flatten(2).mean(2) if self.pooled else y.flatten(1))


def homogeneous(numbers: Tensor, dimension: int) -> Tensor:
    """(N, D (D + 1)) numbers to (N, D + 1, D + 1) affine matrices: the identity plus the numbers, row by row."""
    rows = numbers.reshape(-1, dimension, dimension + 1)
    change = torch.cat([rows, rows.new_zeros(rows.shape[0], 1, dimension + 1)], 1)
    return change + torch.eye(dimension + 1, dtype=rows.dtype, device=rows.device)
