"""Dense regressor: a slice to its affine matrix by way of where each of its pixels lies in the template."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .affine_fit import fit_affine
from .locator import Locator
from .posing import read_at

BLOCK = 4  # pixels along a side of what gets one answer
SIDE = 64  # pixels along a side of what the network sees
PIXEL = 1.25  # pixels of the image that one of them is wide
FINE = 2  # samples along a side of each of them
# unit of the template to unit of the image: ranges D1 (scales 0.5 to 1.5, shear 0.5) stretch by 0.39 to 1.92
STRETCH = (0.3, 2.4)
ANISOTROPY = 5.0
TOLERANCE = 0.2  # residual, in units, at which a block's word is halved
ERROR = (-5.0, 1.5)  # limits of the logarithm of the expected error


@dataclass(frozen=True)
class Places:
    """What the network says of the M blocks of N squares, lengths in units about the square's middle. coordinates:
    (N, M, 2) where they lie in the template; spread: (N, M) the logarithm of the error to be expected of that; head:
    (N, M) logit of lying in the head; upright: (N,) logit of seeing the head about upright, the mean over the head."""

    coordinates: Tensor
    spread: Tensor
    head: Tensor
    upright: Tensor


class DenseRegressor(nn.Module):
    """A Locator and the affine map that fits its places best, robustly and in closed form (networks.affine_fit).

    Stands where networks.regressor.Regressor regresses the numbers of the matrix: here every block of pixels has a say,
    so that what is cut off or covered is not missed, and a mirrored answer cannot come out. unit: pixels that count 1.
    The network sees squares of SIDE pixels, which turn onto themselves in quarter turns, and beside the image a second
    channel, 1 inside the picture and 0 beyond its edges, so that where a head is cut off is not taken for its border.
    again: what is added to the first layer's answer at every block of a second look, which lies in the template's frame
    if the first look was right, so that what is to be expected there can be learned.
    """

    def __init__(self, widths: tuple[int, ...], unit: float, depth: int = 2) -> None:
        super().__init__()
        self.locator = Locator(tuple(widths), depth, 2, BLOCK, 2)
        self.again = nn.Parameter(torch.zeros(1, widths[0], SIDE // BLOCK, SIDE // BLOCK))
        self.unit = unit
        blocks = (torch.arange(SIDE // BLOCK) * BLOCK + (BLOCK - SIDE) / 2) * PIXEL
        points = torch.stack(torch.meshgrid(blocks, blocks, indexing="ij")[::-1], -1).reshape(-1, 2) / unit
        self.register_buffer("points", points, persistent=False)  # (M, 2) middles of the blocks

    def places(self, squares: Tensor, again: bool = False) -> Places:
        """(N, 2, SIDE, SIDE): the image in [0, 1] and where it was taken. again: these are second looks."""
        beside = self.again if again else None
        out = self.locator(squares.contiguous(memory_format=torch.channels_last), beside).float().flatten(2)
        share = out[:, 3].sigmoid().detach()
        upright = (share * out[:, 4]).sum(1) / share.sum(1).clamp(min=1e-3)
        return Places(out[:, :2].transpose(1, 2), out[:, 2].clamp(*ERROR), out[:, 3], upright)

    def maps(self, places: Places) -> Tensor:
        """(N, 3, 3), square to template."""
        return self.fitted(places)[0]

    def fitted(self, places: Places) -> tuple[Tensor, Tensor]:
        """The maps (N, 3, 3) and their doubt (N,), units of the template: by how much the network expects the places of
        a head's blocks to be off, and how far these are from one affine map."""
        with torch.autocast(self.points.device.type, enabled=False):
            share, error = places.head.sigmoid().detach(), places.spread.exp().detach()
            weights = share * (0.02 + error).pow(-2) + 1e-6
            maps, residual, _ = fit_affine(self.points, places.coordinates, weights, STRETCH, TOLERANCE, ANISOTROPY)
            expected = (share * error).sum(1) / share.sum(1).clamp(min=1e-3)
            return maps, expected + residual.detach()

    def seen(self, pictures: Tensor, view: Tensor) -> Tensor:
        """(N, C, SIDE, SIDE): pictures (N, C, *shape) read at `view` (N, 3, 3), a square's point to the picture's, both
        in units about their middles."""
        return read_at(pictures, view, self.unit, (SIDE, SIDE), PIXEL, FINE)


def quarter(turns: int) -> Tensor:
    """(3, 3): `torch.rot90(square, turns, (-2, -1))` shows at x what lies at this matrix times x; x (I, J)."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns % 4]
    return torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
