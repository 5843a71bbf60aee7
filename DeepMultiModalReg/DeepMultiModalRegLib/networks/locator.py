"""Locator: a volume to where each of its voxels lies in the template, and how sure that is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two convolutions of 3 voxels a side with instance normalisation, added to what came in (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, 1, 1, bias=False)
        self.second = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.InstanceNorm3d(outputs, affine=True) for _ in range(2))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norms[0](self.first(x)), 0.1)
        return F.leaky_relu(self.skip(x) + self.norms[1](self.second(y)), 0.1)


class Locator(nn.Module):
    """A U-Net whose deepest level sees the whole volume, with an answer for each voxel of half the resolution.

    widths: channels of each level, half resolution first; depth: residual blocks at the deepest level.
    forward: (N, 1, *shape), intensities in [0, 1], shape a multiple of 2**len(widths), to (N, 5, *shape / 2): three
    coordinates, the logarithm of their expected error, and the logit of lying in the head.
    """

    OUTPUTS = 5

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 160), depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, widths[0], 4, 2, 1)
        self.encoder = nn.ModuleList([Residual(widths[0], widths[0])])
        self.down = nn.ModuleList()
        for a, b in zip(widths, widths[1:], strict=False):
            self.down.append(nn.Conv3d(a, b, 2, 2))
            self.encoder.append(Residual(b, b))
        self.bottom = nn.Sequential(*(Residual(widths[-1], widths[-1]) for _ in range(depth - 1)))
        self.up = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.decoder = nn.ModuleList(Residual(a, a) for a in widths[:-1])
        self.head = nn.Conv3d(widths[0], self.OUTPUTS, 1)
        nn.init.normal_(self.head.weight, 0, 1e-2)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.encoder[0](self.stem(x))
        levels = []
        for down, encode in zip(self.down[:-1], self.encoder[1:-1], strict=True):
            levels.append(y)
            y = encode(down(y))
        levels.append(y)
        # oneDNN 3's bfloat16 gradients of a convolution on 2x2x2 voxels are wrong, and not finite now and then
        with torch.autocast(x.device.type, enabled=False):
            y = self.bottom(self.encoder[-1](self.down[-1](y.float())))
        for up, decode in zip(reversed(self.up), reversed(self.decoder), strict=True):
            y = decode(F.interpolate(up(y), scale_factor=2, mode="nearest") + levels.pop())
        return self.head(y)
