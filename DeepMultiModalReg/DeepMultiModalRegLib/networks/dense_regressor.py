"""Dense regressor: a slice to its affine matrix by way of where each of its pixels lies in the template."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .affine_fit import fit_affine
from .locator import Locator

BLOCK = 4  # pixels along a side of what gets one answer
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
    The network sees squares of `side` pixels, which turn onto themselves in quarter turns. canonical: whether its first
    look at an image is at the image's canonical view (networks.canonical).
    """

    def __init__(
        self, widths: tuple[int, ...], shape: tuple[int, ...], unit: float, depth: int = 2, canonical: bool = False
    ) -> None:
        super().__init__()
        self.canonical = canonical
        self.locator = Locator(tuple(widths), depth, 2, BLOCK)
        step = BLOCK * 2 ** (len(widths) - 1)
        self.unit, self.side = unit, step * -(-max(shape) // step)
        blocks = torch.arange(self.side // BLOCK) * BLOCK + (BLOCK - self.side) / 2
        points = torch.stack(torch.meshgrid(blocks, blocks, indexing="ij")[::-1], -1).reshape(-1, 2) / unit
        self.register_buffer("points", points, persistent=False)  # (M, 2) middles of the blocks

    def places(self, squares: Tensor) -> Places:
        """(N, 1, side, side) in [0, 1]."""
        out = self.locator(squares.contiguous(memory_format=torch.channels_last)).float().flatten(2)
        share = out[:, 3].sigmoid().detach()
        upright = (share * out[:, 4]).sum(1) / share.sum(1).clamp(min=1e-3)
        return Places(out[:, :2].transpose(1, 2), out[:, 2].clamp(*ERROR), out[:, 3], upright)

    def maps(self, places: Places) -> tuple[Tensor, Tensor]:
        """(N, 3, 3), square to template, and (N,) doubt: the error to be expected of the blocks, their disagreement
        with one affine map (units), and how little the head seems upright (nats)."""
        with torch.autocast(self.points.device.type, enabled=False):
            share, error = places.head.sigmoid().detach(), places.spread.exp().detach()
            weights = share * (0.02 + error).pow(-2) + 1e-6
            found, residual, _ = fit_affine(self.points, places.coordinates, weights, STRETCH, TOLERANCE, ANISOTROPY)
            expected = (share * error).sum(1) / share.sum(1).clamp(min=1e-3)
            return found, residual.detach() + expected + F.softplus(-places.upright.detach())

    def squared(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, *shape) filled up with background to squares, and (3, 3): a square's point to the image's, in units
        about the middle of each: half a pixel apart where an odd number was filled in."""
        before = [(self.side - n) // 2 for n in images.shape[2:]]
        padding = [k for n, b in zip(images.shape[:1:-1], before[::-1], strict=True) for k in (b, self.side - n - b)]
        shift = torch.eye(3, device=images.device)
        for axis, (n, b) in enumerate(zip(images.shape[:1:-1], before[::-1], strict=True)):
            shift[axis, 2] = ((self.side - n) / 2 - b) / self.unit
        return F.pad(images, padding), shift


def quarter(turns: int) -> Tensor:
    """(3, 3): `torch.rot90(square, turns, (-2, -1))` shows at x what lies at this matrix times x; x (I, J)."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns % 4]
    return torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
