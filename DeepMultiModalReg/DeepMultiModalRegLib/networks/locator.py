"""Locator: an image to where each of its voxels lies in the template, and how sure that is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .unet import CONVOLUTION

NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class Residual(nn.Module):
    """Two convolutions of 3 voxels a side with instance normalisation, added to what came in (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, dimension: int = 3) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimension]
        self.first = convolution(inputs, outputs, 3, 1, 1, bias=False)
        self.second = convolution(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(NORM[dimension](outputs, affine=True) for _ in range(2))
        self.skip = nn.Identity() if inputs == outputs else convolution(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norms[0](self.first(x)), 0.1)
        return F.leaky_relu(self.skip(x) + self.norms[1](self.second(y)), 0.1)


class Locator(nn.Module):
    """A U-Net whose deepest level sees the whole image, with an answer for each block of voxels.

    widths: channels of each level, finest first; depth: residual blocks at the deepest level; block: voxels along a
    side of what gets one answer (2: half the resolution); inputs: channels.
    forward: (N, inputs, *shape), intensities in [0, 1], shape a multiple of block * 2**(len(widths) - 1), to
    (N, 5, *shape / block): the coordinates, the logarithm of their expected error, the logit of lying in the head, and
    in a plane that of being seen about upright. beside: (1, widths[0], *shape / block), added to what the first
    convolution says.
    """

    OUTPUTS = 5

    def __init__(
        self,
        widths: tuple[int, ...] = (24, 48, 96, 160),
        depth: int = 3,
        dimension: int = 3,
        block: int = 2,
        inputs: int = 1,
    ) -> None:
        super().__init__()
        self.half_bottom = dimension == 2
        convolution = CONVOLUTION[dimension]
        levels = list(zip(widths, widths[1:], strict=False))
        self.stem = convolution(inputs, widths[0], 2 * block, block, block // 2)
        self.encoder = nn.ModuleList([Residual(widths[0], widths[0], dimension)])
        self.down = nn.ModuleList()
        for a, b in levels:
            self.down.append(convolution(a, b, 2, 2))
            self.encoder.append(Residual(b, b, dimension))
        self.bottom = nn.Sequential(*(Residual(widths[-1], widths[-1], dimension) for _ in range(depth - 1)))
        self.up = nn.ModuleList(convolution(b, a, 1) for a, b in levels)
        self.decoder = nn.ModuleList(Residual(a, a, dimension) for a in widths[:-1])
        self.head = convolution(widths[0], self.OUTPUTS, 1)
        nn.init.normal_(self.head.weight, 0, 1e-2)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        y = self.stem(x)
        y = self.encoder[0](y if beside is None else y + beside.to(y.dtype))
        levels = []
        for down, encode in zip(self.down[:-1], self.encoder[1:-1], strict=True):
            levels.append(y)
            y = encode(down(y))
        levels.append(y)
        # oneDNN 3's bfloat16 gradients of a convolution on 2x2x2 voxels are wrong, and not finite now and then
        with torch.autocast(x.device.type, enabled=self.half_bottom and torch.is_autocast_enabled(x.device.type)):
            y = self.bottom(self.encoder[-1](self.down[-1](y if self.half_bottom else y.float())))
        for up, decode in zip(reversed(self.up), reversed(self.decoder), strict=True):
            y = decode(F.interpolate(up(y), scale_factor=2, mode="nearest") + levels.pop())
        return self.head(y)
