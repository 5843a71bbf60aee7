"""Decoder: content shown in a style (Huang et al., ECCV 2018, MUNIT)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .statistics import AdaptiveNorm, LayerNorm
from .unet import CONVOLUTION


class StyledBlock(nn.Module):
    """x + AdaIN(conv(relu(AdaIN(conv(x))))); `gates`: two pairs of gain and bias, (N, C) each."""

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]
        self.first, self.second = conv(width, width, 3, 1, 1), conv(width, width, 3, 1, 1)
        self.norm = AdaptiveNorm()

    def forward(self, x: Tensor, gates: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        y = F.relu(self.norm(self.first(x), gates[0], gates[1]))
        return x + self.norm(self.second(y), gates[2], gates[3])


class StyledDecoder(nn.Module):
    """code (N, code, *shape / 2 ** halvings) and style (N, style) to an image (N, 1, *shape), float32.

    Residual blocks whose AdaIN a small perceptron sets from the style, then upsampling by repetition with layer
    normalisation. Settings as of networks.content.ContentEncoder.
    """

    def __init__(
        self, dimension: int, width: int = 64, halvings: int = 2, blocks: int = 4, code: int = 256, style: int = 8
    ) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]
        inner = width * 2**halvings
        self.gates = nn.Sequential(
            nn.Linear(style, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4 * inner * blocks)
        )
        self.enter = conv(code, inner, 3, 1, 1)
        self.blocks = nn.ModuleList(StyledBlock(dimension, inner) for _ in range(blocks))
        parts: list[nn.Module] = []
        for number in reversed(range(halvings)):
            a, b = width * 2 ** (number + 1), width * 2**number
            parts += [nn.Upsample(scale_factor=2), conv(a, b, 3, 1, 1), LayerNorm(b), nn.ReLU()]
        self.up = nn.Sequential(*parts, conv(width, 1, 7, 1, 3))

    def forward(self, code: Tensor, style: Tensor) -> Tensor:
        x = F.relu(self.enter(code))
        gates = self.gates(style).chunk(4 * len(self.blocks), 1)
        for number, block in enumerate(self.blocks):
            x = block(x, gates[4 * number : 4 * number + 4])
        return self.up(x).float()
