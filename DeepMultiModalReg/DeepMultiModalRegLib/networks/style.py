"""Style encoder: in which grey levels an image is shown, in a few numbers (Huang et al., ECCV 2018, MUNIT)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .unet import CONVOLUTION

EMPTY = 0.02  # grey level up to which nothing is there


class StyleEncoder(nn.Module):
    """(N, 1, *shape) to (N, style): averaged over all that the image shows, so it cannot tell where anything lies.

    Empty space does not count: how much of it there is belongs to the lattice, not to the style. No normalisation: it
    would remove what is to be told.
    """

    def __init__(self, dimension: int, width: int = 64, halvings: int = 2, style: int = 8) -> None:
        super().__init__()
        self.halvings = halvings
        conv = CONVOLUTION[dimension]
        parts: list[nn.Module] = [conv(1, width, 7, 1, 3), nn.ReLU(inplace=True)]
        for number in range(halvings):
            a, b = width * 2 ** min(number, 2), width * 2 ** min(number + 1, 2)
            parts += [conv(a, b, 4, 2, 1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*parts)
        self.last = nn.Linear(width * 2 ** min(halvings, 2), style)

    def forward(self, image: Tensor) -> Tensor:
        found = self.layers(image).float().flatten(2)
        cell = 2**self.halvings
        pool = F.avg_pool3d if image.dim() == 5 else F.avg_pool2d
        shown = pool((image > EMPTY).float(), cell).flatten(2) + 1e-6
        return self.last((found * shown).sum(2) / shown.sum(2)).float()
