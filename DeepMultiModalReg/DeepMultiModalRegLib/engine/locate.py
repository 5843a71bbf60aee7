"""Locate: where one image lies in the template, by a network that looks at it once or a few times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, Grid, Image, resample
from .catalogue import LoadedModel
from .device import Precision
from .intensity import normalise
from .masks import Mask
from .reduce import averaged

BODY_VOXELS = 13.0  # the body's root-mean-square radius in voxels of the first look, as in training
BRAIN_MM = 4.3  # template mm to a voxel of the second look, which the first one's answer frames
FINER = 0.6  # of the first look's spacing: what the image is averaged to, once for all looks


@dataclass(frozen=True)
class Location:
    """to_template: LPS mm of the image to LPS mm of the template. doubt: mm, what the network expects to be off by and
    how far its voxels disagree. looks: how often the network looked."""

    to_template: Affine
    doubt: float
    looks: int


def locate(
    method, image: Image, mask: Mask | None, fill: float, body: Tensor, precision: Precision, sure: float
) -> Location:
    """Where `image` lies, by `method` (methods.equivariant_volume).

    The first look is along the scanner's axes, framed by the body (N, 3) LPS mm; the second upright, framed by the
    first one's answer (the published two steps). Where that leaves a doubt above `sure` mm, the image is looked at from
    the other sides of a cube as well, and the surest answer counts: equivariance gives every one of them back.
    """
    view = _View(method, image, mask, fill, body, precision)
    best = view.upright(view.first(TURNS[:1]))
    if best.doubt > sure:
        best = min(best, view.upright(view.first(TURNS[1:])), key=lambda found: found.doubt)
    return Location(best.to_template, best.doubt, view.looks)


def locate_slice(
    model: LoadedModel, image: Image, mask: Mask | None, fill: float, body: Tensor, precision: Precision
) -> Location:
    """Where a slice lies, by a method that says so of slices (methods.equivariant); it names no doubt."""
    method = model.method.to(precision.device)
    grid = Grid.regular(tuple(reversed(method.shape)), model.spacing, body.mean(0))
    seen = _seen(averaged(image, grid), mask, fill, grid)
    with torch.no_grad(), precision.autocast():
        to_image = method.pose(seen[None].to(precision.device))[0]  # template to image, pixels about the middle
    middle = torch.eye(3, dtype=torch.float64)
    middle[:2, 2] = -(torch.tensor(grid.size, dtype=torch.float64) - 1) / 2
    to_template = torch.linalg.inv(to_image.double().cpu())
    millimetres = torch.diag(torch.tensor([model.spacing, model.spacing, 1.0], dtype=torch.float64))
    return Location(Affine(millimetres @ to_template @ middle @ grid.inverse_matrix), 0.0, 1)


class _View:
    """Looks at one image on lattices of the method's size, however they are turned."""

    def __init__(self, method, image: Image, mask: Mask | None, fill: float, body: Tensor, precision: Precision):
        self.method, self.mask, self.fill, self.precision, self.looks = method, mask, fill, precision, 0
        self.centre = body.mean(0)
        radius = float((body - self.centre).square().sum(1).mean().sqrt())
        self.spacing = max(radius, 1e-3) / BODY_VOXELS
        n = method.size
        self.image = averaged(image, Grid.regular((n, n, n), self.spacing * FINER, self.centre))

    def first(self, turns: Tensor) -> Location:
        """The surest of the answers to the body seen from several sides; turns (K, 3, 3)."""
        found = self._look([self._grid(turn, self.spacing, self.centre) for turn in turns])
        return min(found, key=lambda f: f.doubt)

    def upright(self, found: Location) -> Location:
        """The answer to the brain turned upright by `found`; `found` itself where that was surer."""
        back = torch.linalg.inv(found.to_template.linear)
        u, s, vh = torch.linalg.svd(back)
        spacing = BRAIN_MM * float(s.prod()) ** (1 / 3)
        grid = self._grid(u @ vh, spacing, found.to_template.inverse().translation)
        return min(found, *self._look([grid]), key=lambda f: f.doubt)

    def _grid(self, turn: Tensor, spacing: float, centre: Tensor) -> Grid:
        n = self.method.size
        origin = centre - turn.double() @ torch.full((3,), (n - 1) / 2 * spacing, dtype=torch.float64)
        return Grid((n,) * 3, (spacing,) * 3, tuple(origin.tolist()), tuple(turn.double().flatten().tolist()))

    def _look(self, grids: list[Grid]) -> list[Location]:
        self.looks += len(grids)
        seen = torch.stack([_seen(self.image, self.mask, self.fill, grid) for grid in grids]).to(self.precision.device)
        with torch.no_grad(), self.precision.autocast():
            found = self.method.to(self.precision.device).locate(seen)
        middle = torch.eye(4, dtype=torch.float64)
        middle[:3, 3] = -(self.method.size - 1) / 2
        answers = []
        for grid, matrix, doubt in zip(grids, found.matrix.double().cpu(), found.doubt.tolist(), strict=True):
            answers.append(Location(Affine(matrix @ middle @ grid.inverse_matrix), doubt, 1))
        return answers


def _seen(image: Image, mask: Mask | None, fill: float, grid: Grid) -> Tensor:
    """(1, *shape) in [0, 1]: the image on the lattice, outside the mask dark."""
    tensor = resample(image, grid, None, "linear", fill).tensor
    if mask is None:
        return normalise(tensor)
    inside = mask.on(grid)
    return normalise(torch.where(inside, tensor, torch.full_like(tensor, fill))) * inside


def _turns() -> Tensor:
    """(12, 3, 3): the turns of a tetrahedron, that is half turns about the axes and third turns about a cube's
    diagonals, none first: no pose is further than a quarter turn from one of them."""
    eye = torch.eye(3, dtype=torch.float64)
    cycle = eye[[1, 2, 0]]
    signs = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
    half = [torch.diag(torch.tensor(s, dtype=torch.float64)) for s in signs]
    return torch.stack([h @ c for c in (eye, cycle, cycle @ cycle) for h in half])


TURNS = _turns()
