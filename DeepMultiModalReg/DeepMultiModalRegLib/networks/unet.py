"""U-Net on slices or volumes, with the output at half or full resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class ConvBlock(nn.Sequential):
    """Convolution of 3 voxels a side and LeakyReLU(0.2), no normalisation: absolute grey levels carry the contrast."""

    def __init__(self, dimension: int, inputs: int, outputs: int, stride: int = 1) -> None:
        kernel = 3 if stride == 1 else 4
        super().__init__(CONVOLUTION[dimension](inputs, outputs, kernel, stride, 1), nn.LeakyReLU(0.2, inplace=True))


class UNet(nn.Module):
    """Encoder and decoder with skips (Ronneberger et al. 2015), shaped for registration (Balakrishnan et al. 2019).

    The stem halves the resolution at once: at 2 mm input the first level works at 4 mm, where a full-resolution level
    would
    take four fifths of the time. With `full` the output is brought back to the input's resolution by one more level.

    inputs, outputs: channels; widths: channels of each level, finest (half resolution) first.
    forward: (N, inputs, *shape), shape a multiple of 2**len(widths), to (N, outputs, *shape / 2), or *shape with
    `full`.
    """

    def __init__(
        self,
        dimension: int,
        inputs: int,
        outputs: int,
        widths: tuple[int, ...],
        full: int = 0,
        zero_output: bool = True,
    ) -> None:
        super().__init__()
        self.full = full
        block = ConvBlock
        self.stem = block(dimension, inputs, widths[0], 2)
        self.encoder = nn.ModuleList(
            nn.Sequential(block(dimension, a, b, 2), block(dimension, b, b))
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.first = block(dimension, widths[0], widths[0])
        self.decoder = nn.ModuleList(
            nn.Sequential(block(dimension, b + a, a), block(dimension, a, a))
            for a, b in reversed(list(zip(widths, widths[1:], strict=False)))
        )
        last = widths[0]
        if full:
            self.fine = block(dimension, widths[0] + inputs, full)
            last = full
        self.head = CONVOLUTION[dimension](last, outputs, 3, 1, 1)
        if zero_output:  # start at the identity, with a gradient of every sign
            nn.init.normal_(self.head.weight, 0, 1e-4)
            nn.init.zeros_(self.head.bias)
        for module in self.modules():
            if isinstance(module, CONVOLUTION[dimension]) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, 0.2)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(self.stem(x))]
        for down in self.encoder:
            levels.append(down(levels[-1]))
        y = levels.pop()
        for up in self.decoder:
            y = up(torch.cat([_repeated(y), levels.pop()], 1))
        if self.full:
            y = self.fine(torch.cat([_repeated(y), x.to(y.dtype)], 1))
        return self.head(y)


def _repeated(x: Tensor) -> Tensor:
    """Twice the size by repetition: the convolution that follows smooths, and it costs a fraction of an
    interpolation."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
