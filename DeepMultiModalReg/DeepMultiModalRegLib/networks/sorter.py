"""Which of two modalities an image is of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .warp import halve

SEEN = 0.02  # grey level above which a pixel counts
WIDTHS = (8, 16, 32)


class Sorter(nn.Module):
    """Three convolutions, each halving, and the mean of what they find where the slice shows anything.

    (N, 1, rows, columns) in [0, 1] to (N,): the larger, the more the second modality. Of two images of one person the
    one with the larger score is the one of the second modality.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(WIDTHS[-1], 1)

    def forward(self, slices: Tensor) -> Tensor:
        found = self.layers(slices).float()
        shown = F.adaptive_max_pool2d((slices > SEEN).float(), found.shape[2:])
        mean = (found * shown).sum((2, 3)) / shown.sum((2, 3)).clamp(min=1)
        return self.last(mean.to(self.last.weight.dtype))[:, 0].float()


def most(volume: Tensor, count: int) -> Tensor:
    """(M,) indices of the `count` slices of (N, ...) that show most, the brightest on average first."""
    return volume.flatten(1).mean(1).argsort(descending=True, stable=True)[:count]


@torch.no_grad()
def second_moves(sorter: Sorter, fixed: Tensor, moving: Tensor, judged: int = 8) -> bool:
    """Whether the moving image, rather than the fixed one, is of the second modality; both (N, 1, *shape), slices or
    volumes. By the `judged` slices that show most, at half the resolution; of volumes, axial ones."""
    scores = []
    for image in (fixed, moving):
        slices = image if image.dim() == 4 else image[0, 0, :, None]
        scores.append(float(sorter(halve(slices[most(slices, judged)])).mean()))
    return scores[1] > scores[0]
