"""Content encoder: what is where in an image, whatever its grey levels (Huang et al., ECCV 2018, MUNIT)."""

from __future__ import annotations

from torch import Tensor, nn

from .residual import NORM, ResidualBlock
from .statistics import standardised
from .unet import CONVOLUTION

CODE_FLOOR = 1e-3  # of a channel's variance: noise in an empty slice must not become content


class ContentEncoder(nn.Module):
    """(N, 1, *shape) to (N, code, *shape / 2 ** halvings), float32.

    A convolution of 7 voxels, halvings, residual blocks, instance normalisation throughout. As published there are 256
    channels of any size; here a last convolution brings them to `code`, each standardised over the image, so that two
    codes can be compared: their squared difference is 2 - 2 cosine, and no encoder gains by making its code small.
    """

    def __init__(self, dimension: int, width: int = 64, halvings: int = 2, blocks: int = 4, code: int = 256) -> None:
        super().__init__()
        conv, norm = CONVOLUTION[dimension], NORM[dimension]
        parts: list[nn.Module] = [conv(1, width, 7, 1, 3), norm(width), nn.ReLU(inplace=True)]
        for number in range(halvings):
            a, b = width * 2**number, width * 2 ** (number + 1)
            parts += [conv(a, b, 4, 2, 1), norm(b), nn.ReLU(inplace=True)]
        inner = width * 2**halvings
        parts += [ResidualBlock(dimension, inner, True) for _ in range(blocks)]
        self.layers = nn.Sequential(*parts, conv(inner, code, 1))

    def forward(self, image: Tensor) -> Tensor:
        return standardised(self.layers(image), floor=CODE_FLOOR)
