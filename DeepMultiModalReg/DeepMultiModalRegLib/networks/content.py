"""Content encoder: what is where in an image, whatever its grey levels (Huang et al., ECCV 2018, MUNIT)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .residual import NORM, ResidualBlock
from .statistics import standardised
from .style import EMPTY
from .unet import CONVOLUTION

CLOSED = 2  # cells of a code: gaps up to twice as wide (bone, dark fluid) belong to what they lie in
CODE_FLOOR = 1e-3  # of a channel's variance: noise in an empty slice must not become content


class ContentEncoder(nn.Module):
    """(N, 1, *shape) to (N, code, *shape / 2 ** halvings), float32.

    A convolution of 7 voxels, halvings, residual blocks, instance normalisation throughout. As published there are 256
    channels of any size; here a last convolution brings them to `code`, each standardised over the head, so that two
    codes can be compared and no encoder gains by making its code small. Air, of which most slices consist, has no part
    in that and the code 0, the mean of the head's: standardised over the whole slice, most of a code would tell head
    from air and little of it one place in the head from another.
    """

    def __init__(self, dimension: int, width: int = 64, halvings: int = 2, blocks: int = 4, code: int = 256) -> None:
        super().__init__()
        self.cell = 2**halvings
        conv, norm = CONVOLUTION[dimension], NORM[dimension]
        parts: list[nn.Module] = [conv(1, width, 7, 1, 3), norm(width), nn.ReLU(inplace=True)]
        for number in range(halvings):
            a, b = width * 2**number, width * 2 ** (number + 1)
            parts += [conv(a, b, 4, 2, 1), norm(b), nn.ReLU(inplace=True)]
        inner = width * 2**halvings
        parts += [ResidualBlock(dimension, inner, True) for _ in range(blocks)]
        self.layers = nn.Sequential(*parts, conv(inner, code, 1))

    def forward(self, image: Tensor, head: Tensor | None = None) -> Tensor:
        """head: an image like this one that shows where the head is, where this one is no true image."""
        inside = shown(image if head is None else head, self.cell)
        return standardised(self.layers(image), floor=CODE_FLOOR, where=inside + 1e-6) * inside


@torch.no_grad()
def shown(image: Tensor, cell: int) -> Tensor:
    """(N, 1, *shape / cell) float32, 1 where (N, 1, *shape) shows anything or lies between parts that do."""
    pool = F.max_pool3d if image.dim() == 5 else F.max_pool2d
    there = pool((image > EMPTY).float(), cell)
    wide = pool(there, 2 * CLOSED + 1, 1, CLOSED)
    return -pool(-wide, 2 * CLOSED + 1, 1, CLOSED)
