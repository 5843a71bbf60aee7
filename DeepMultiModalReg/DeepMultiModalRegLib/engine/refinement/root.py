"""Root: what a refinement begins from: an affine part that costs nothing, and the rest as a velocity that does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core import Affine, Composite, DenseField, Grid, Transform, split
from ..chain import chained
from ..working import Working
from .flow import control_shape, logarithm

FEW = 30_000  # points are enough to fit an affine to
STRETCH = 2.0  # how far a fitted affine part may stretch or squeeze; beyond, only its translation is kept


@dataclass(frozen=True)
class Root:
    """What is refined: x -> base(x + e(x)), fixed LPS mm to moving LPS mm.

    before: the part of base that precedes the start, None where no network has put one there. guess: x -> x + e(x) as a
    network has found it, or None.
    """

    base: Transform
    before: Affine | DenseField | None = None
    guess: Transform | None = None

    def moved(self, affine: Affine) -> Root:
        """The same guess about the base x -> base(affine(x))."""
        before = None if self.before is None else self.before @ affine
        guess = None
        if self.guess is not None:
            dense, last = split(self.guess, affine.dimension)
            guess = Composite(dense, affine.inverse() @ last)
        return Root(self.base @ affine, before, guess)


def rooted(first: Transform, inner: DenseField | None, body: Tensor, fit: bool = True) -> Root:
    """The root of a start and the field that a network has put before it: x -> first(inner(x)).

    The affine that comes nearest to the field in the body joins the start (unless `fit` is False: the start is the best
    affine already); what is left is a guess of the velocity. So the optimisation is stiff against the whole of the
    deformation and not only against what it adds: where the images show little, a network's field is as rough as it
    likes, and would stay so. A start with a field of its own, which somebody has given, is kept as it is.
    body: (N, D) LPS mm of the fixed image.
    """
    if inner is None:
        return Root(first)
    if not isinstance(first, Affine):
        return Root(chained(first, inner), inner.closed())
    nearest = fitted(inner, body) if fit else Affine.identity(first.dimension)
    return Root(first @ nearest, nearest, Composite(inner.closed(), nearest.inverse()))


def fitted(transform: Transform, points: Tensor) -> Affine:
    """The affine nearest to `transform` at (N, D) LPS points, by least squares.

    Where all points lie in a plane, or all displacements do, so do the affine's: nothing is invented across it.
    """
    x = points[:: max(1, len(points) // FEW)].double()
    u = transform.points(x) - x
    centre, shift = x.mean(0), u.mean(0)
    d = x.shape[1]
    around = x - centre
    # by eigenvectors, leaving out directions in which the points do not extend
    pull = torch.linalg.pinv(around.T @ around / len(x), rtol=1e-9, hermitian=True) @ (around.T @ (u - shift) / len(x))
    linear = torch.eye(d, dtype=torch.float64) + pull.T
    sizes = torch.linalg.svdvals(linear)
    if not (1 / STRETCH < float(sizes.min()) and float(sizes.max()) < STRETCH and torch.linalg.det(linear) > 0):
        linear = torch.eye(d, dtype=torch.float64)
    return Affine.from_parts(linear, centre + shift - linear @ centre)


def guessed_velocity(guess: Transform, working: Working, coarse: int, shape: tuple[int, ...], stride: int) -> Tensor:
    """(N, D, *control) of a level of `working` that is `coarse` times coarser, of `shape`: the velocity in its voxels
    whose exponential comes near to `guess`."""
    cells = _cells(working, coarse * stride, control_shape(shape, stride))
    to_cells = cells.grid.inverse_matrix[: len(shape), :-1].float()
    u = torch.einsum("ir,r...->i...", to_cells, guess.displacement(cells.grid))
    return logarithm(cells.batch(u).contiguous()) * stride


def _cells(working: Working, voxels: int, control: tuple[int, ...]) -> Working:
    """The lattice of control cells that cover `voxels` of the working lattice each, beginning at the same corner."""
    grid = working.grid
    size = [*control[::-1], *grid.size[len(control) :]]  # slices stay as many
    steps = [voxels] * len(control) + [1] * (grid.dimension - len(control))
    first = torch.tensor([(step - 1) / 2 for step in steps], dtype=torch.float64)
    origin = grid.matrix[:-1, :-1] @ first + grid.matrix[:-1, -1]
    spacing = tuple(s * step for s, step in zip(grid.spacing, steps, strict=True))
    return Working(Grid(tuple(size), spacing, tuple(origin.tolist()), grid.direction), working.slices)
