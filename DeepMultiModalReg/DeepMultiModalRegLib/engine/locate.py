"""Locate: where one image lies in the template, by a network that looks at it a few times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, Grid, Image, resample
from .catalogue import LoadedModel
from .device import Precision
from .intensity import normalise
from .masks import Mask
from .reduce import averaged

FINER = 0.5  # of the scan's spacing: what the image is averaged to, once for all looks


def _between() -> Tensor:
    """(3, 3): turned by 63 degrees about a cube's diagonal's neighbour, as far as can be from all 24 of a cube."""
    a = 2**0.5 - 1
    skew = torch.tensor([[0.0, -a, 1.0], [a, 0.0, -1.0], [-1.0, 1.0, 0.0]], dtype=torch.float64) * a
    eye = torch.eye(3, dtype=torch.float64)
    return torch.linalg.solve(eye - skew, eye + skew)  # Cayley's map of Rodrigues' vector (1, 1, a) a


BETWEEN = _between()


@dataclass(frozen=True)
class Location:
    """to_template: LPS mm of the image to LPS mm of the template. doubt: mm, what the network expects to be off by and
    how far its voxels disagree. scans: how often the network looked from all sides."""

    to_template: Affine
    doubt: float
    scans: int


def locate(
    method, image: Image, mask: Mask | None, fill: float, body: Tensor, precision: Precision, sure: float
) -> Location:
    """Where `image` lies, by `method` (methods.equivariant_volume).

    A scan (24 sides of a cube along the scanner's axes, framed by the body (N, 3) LPS mm) is followed by a look at the
    brain upright, framed by the scan's answer: the published two steps. Where that leaves a doubt above `sure` mm, a
    cube turned to lie between those sides is scanned as well, and the surest answer counts.
    """
    view = _View(method, image, mask, fill, body, precision)
    best = view.upright(view.scan(torch.eye(3)))
    if best.doubt > sure:
        best = min(best, view.upright(view.scan(BETWEEN)), key=_doubt)
    return Location(best.to_template, best.doubt, view.scans)


def locate_slice(
    model: LoadedModel, image: Image, mask: Mask | None, fill: float, body: Tensor, precision: Precision
) -> Location:
    """Where a slice lies, by a method that says so of slices (methods.equivariant)."""
    method = model.method.to(precision.device)
    grid = Grid.regular(tuple(reversed(method.shape)), model.spacing, body.mean(0))
    seen = _seen(averaged(image, grid), mask, fill, grid)
    with torch.no_grad(), precision.autocast():
        found, doubt = method.located(seen[None].to(precision.device))  # template to image, pixels about the middle
    middle = torch.eye(3, dtype=torch.float64)
    middle[:2, 2] = -(torch.tensor(grid.size, dtype=torch.float64) - 1) / 2
    to_template = torch.linalg.inv(found[0].double().cpu())
    millimetres = torch.diag(torch.tensor([model.spacing, model.spacing, 1.0], dtype=torch.float64))
    matrix = millimetres @ to_template @ middle @ grid.inverse_matrix
    return Location(Affine(matrix), float(doubt[0]) * model.spacing, 1)


class _View:
    """Looks at one image on lattices of the method's size, however they are turned."""

    def __init__(self, method, image: Image, mask: Mask | None, fill: float, body: Tensor, precision: Precision):
        self.method, self.mask, self.fill, self.precision, self.scans = method, mask, fill, precision, 0
        self.centre = body.mean(0)
        radius = float((body - self.centre).square().sum(1).mean().sqrt())
        self.spacing = max(radius, 1e-3) / method.body_voxels
        n = method.size
        self.image = averaged(image, Grid.regular((n, n, n), self.spacing * FINER, self.centre))

    def scan(self, turn: Tensor) -> Location:
        """The surest of the answers to the body seen from the sides of a cube turned by (3, 3)."""
        self.scans += 1
        return self._look(self._grid(turn, self.spacing, self.centre), self.method.scan)

    def upright(self, found: Location) -> Location:
        """The answer to the brain turned upright by `found`; `found` itself where that was surer."""
        back = found.to_template.inverse()
        u, s, vh = torch.linalg.svd(back.linear)
        spacing = self.method.brain_mm * float(s.prod()) ** (1 / 3)
        return min(found, self._look(self._grid(u @ vh, spacing, back.translation), self.method.locate), key=_doubt)

    def _grid(self, turn: Tensor, spacing: float, centre: Tensor) -> Grid:
        n = self.method.size
        origin = centre - turn.double() @ torch.full((3,), (n - 1) / 2 * spacing, dtype=torch.float64)
        return Grid((n,) * 3, (spacing,) * 3, tuple(origin.tolist()), tuple(turn.double().flatten().tolist()))

    def _look(self, grid: Grid, look: Callable) -> Location:
        self.method.to(self.precision.device)
        seen = _seen(self.image, self.mask, self.fill, grid)[None].to(self.precision.device)
        with torch.no_grad(), self.precision.autocast():
            found = look(seen)
        middle = torch.eye(4, dtype=torch.float64)
        middle[:3, 3] = -(self.method.size - 1) / 2
        return Location(Affine(found.matrix[0].double().cpu() @ middle @ grid.inverse_matrix), float(found.doubt[0]), 1)


def _doubt(found: Location) -> float:
    return found.doubt


def _seen(image: Image, mask: Mask | None, fill: float, grid: Grid) -> Tensor:
    """(1, *shape) in [0, 1]: the image on the lattice, outside the mask dark."""
    tensor = resample(image, grid, None, "linear", fill).tensor
    if mask is None:
        return normalise(tensor)
    inside = mask.on(grid)
    return normalise(torch.where(inside, tensor, torch.full_like(tensor, fill))) * inside
