"""Known warps: seeded poses with smooth, fold-free deformations, drawn apart from those that training draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, Composite, DenseField, Grid, Image, InputError, compose

SQUARINGS = 6


@dataclass(frozen=True)
class WarpRanges:
    """How far a known warp may go.

    shift_mm, rotation_deg, scale: drawn evenly from -value to value, per axis (scale: its logarithm, one number).
    peak_mm: the largest displacement of the smooth part; smooth_mm: the standard deviation of the Gaussian that smooths
    its random velocity, roughly the size of what moves together.
    """

    shift_mm: float = 0.0
    rotation_deg: float = 0.0
    scale: float = 0.0
    peak_mm: float = 0.0
    smooth_mm: float = 20.0

    def __post_init__(self) -> None:
        if self.peak_mm > self.smooth_mm:
            raise InputError("A known warp whose peak_mm exceeds its smooth_mm may fold; make it smoother or smaller.")


def known_warp(grid: Grid, ranges: WarpRanges, seed: int) -> Composite:
    """A one-to-one transform of the space around `grid` (LPS mm): smooth part first, then the pose about the middle."""
    generator = torch.Generator().manual_seed(seed)
    dense = smooth_warp(grid, ranges.peak_mm, ranges.smooth_mm, generator) if ranges.peak_mm > 0 else None
    return Composite(dense, random_pose(grid, ranges, generator))


def random_pose(grid: Grid, ranges: WarpRanges, generator: torch.Generator) -> Affine:
    """Rotation and scaling about the lattice's middle, then a shift."""
    d = grid.dimension
    turn = torch.zeros(d, d, dtype=torch.float64)
    for row in range(d):
        for column in range(row):
            angle = math.radians(ranges.rotation_deg) * _signed(generator)
            turn[row, column], turn[column, row] = angle, -angle
    linear = torch.linalg.matrix_exp(turn) * math.exp(math.log1p(ranges.scale) * _signed(generator))
    shift = torch.tensor([ranges.shift_mm * _signed(generator) for _ in range(d)], dtype=torch.float64)
    return Affine.from_parts(linear, grid.centre - linear @ grid.centre + shift)


def smooth_warp(grid: Grid, peak_mm: float, smooth_mm: float, generator: torch.Generator) -> DenseField:
    """The exponential of a smooth random velocity, of at most about `peak_mm`; it ends in zero outside."""
    lattice = _control(grid, smooth_mm)
    velocity = torch.randn(grid.dimension, *lattice.shape, generator=generator)
    for axis, spacing in enumerate(reversed(lattice.spacing)):
        velocity = _blurred(velocity, axis + 1, smooth_mm / spacing)
    velocity = velocity * (peak_mm / velocity.norm(dim=0).max())
    flow = DenseField(Image(velocity / 2**SQUARINGS, lattice))
    for _ in range(SQUARINGS):
        flow = compose(flow, flow, lattice).dense
        flow = DenseField(Image(flow.displacement(lattice), lattice))
    return flow.closed()


def _control(grid: Grid, smooth_mm: float) -> Grid:
    """A lattice over `grid`, as coarse as the smoothness allows; a lattice one voxel thick stays so."""
    pitch = max(smooth_mm / 5, min(grid.spacing))
    return grid.respaced(tuple(s if n == 1 else max(s, pitch) for n, s in zip(grid.size, grid.spacing, strict=True)))


def _signed(generator: torch.Generator) -> float:
    return 2 * torch.rand((), generator=generator).item() - 1


def _blurred(field: Tensor, axis: int, sigma: float) -> Tensor:
    """A Gaussian along one axis, the border's value held outside."""
    n = field.shape[axis]
    place = torch.arange(n, dtype=field.dtype)
    weights = torch.exp(-((place[:, None] - place[None]) ** 2) / (2 * sigma**2))
    return ((weights / weights.sum(1, keepdim=True)) @ field.movedim(axis, -2)).movedim(-2, axis)
