"""Regressor: one image in, the numbers of one affine matrix out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .unet import CONVOLUTION

SLOPE = 0.25  # of PReLU, to begin with
TINY = 1e-5  # added to a variance before its root is taken


class NormSlope(nn.Module):
    """InstanceNorm and PReLU of one slope in one, for (N, C, *shape): three times as fast on a processor as one after
    the other, and it keeps the order channels_last in which half precision convolutions are fastest."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((1,), SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        return _NormSlope.apply(x, self.slope)


class _NormSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, slope: Tensor) -> Tensor:
        shape = x.shape[2:]
        centred = x.flatten(2).transpose(1, 2).float()
        centred = centred - centred.mean(1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(1, keepdim=True) + TINY)
        normal = centred.mul_(scale).to(x.dtype)
        ctx.slope, ctx.shape = slope.item(), shape
        ctx.save_for_backward(normal, scale)
        return F.leaky_relu(normal, ctx.slope).transpose(1, 2).unflatten(2, shape)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        normal, scale = ctx.saved_tensors
        gradient = gradient.flatten(2).transpose(1, 2)
        slope = (gradient * normal.clamp(max=0)).sum(dtype=torch.float32).reshape(1)
        gradient = torch.ops.aten.leaky_relu_backward(gradient, normal, ctx.slope, False).float()
        along = (gradient * normal).mean(1, keepdim=True)
        out = (gradient - gradient.mean(1, keepdim=True)).addcmul_(normal.float(), -along).mul_(scale)
        return out.to(normal.dtype).transpose(1, 2).unflatten(2, ctx.shape), slope


class ResidualLayer(nn.Module):
    """Two convolutions of 3 voxels a side, each followed by InstanceNorm and PReLU, beside one that carries the input
    over (a plain skip where nothing changes). The first convolution has the stride."""

    def __init__(self, dimension: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimension]
        self.body = nn.Sequential(
            convolution(inputs, outputs, 3, stride, 1), NormSlope(), convolution(outputs, outputs, 3, 1, 1), NormSlope()
        )
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
        order = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
        y = self.layers(x.contiguous(memory_format=order)).float()
        with torch.autocast(x.device.type, enabled=False):
            return self.head(y.flatten(2).mean(2) if self.pooled else y.flatten(1))


def homogeneous(numbers: Tensor, dimension: int) -> Tensor:
    """(N, D (D + 1)) numbers to (N, D + 1, D + 1) affine matrices: the identity plus the numbers, row by row."""
    rows = numbers.reshape(-1, dimension, dimension + 1)
    change = torch.cat([rows, rows.new_zeros(rows.shape[0], 1, dimension + 1)], 1)
    return change + torch.eye(dimension + 1, dtype=rows.dtype, device=rows.device)
