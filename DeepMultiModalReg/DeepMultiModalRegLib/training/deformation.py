"""Random poses and smooth deformations of a working lattice, with exact inverses known by construction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.unet import INTERPOLATION
from ..networks.warp import enlarge, identity, integrate


@dataclass(frozen=True)
class Ranges:
    """How far a random pose and deformation may go: mm, degrees, and log-scale; each drawn evenly up to the value."""

    translation_mm: float = 6.0
    rotation_degrees: float = 12.0
    scale: float = 0.12
    shear: float = 0.06
    elastic: float = 0.12  # standard deviation of a velocity component, as a share of its control spacing
    control_mm: tuple[float, float] = (24.0, 80.0)


def uniform(low: float, high: float, generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator) * (high - low) + low


def random_affine(dimension: int, ranges: Ranges, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(D, D) linear part about the lattice's middle and (D,) translation in mm."""
    angle = math.radians(ranges.rotation_degrees)
    turn = torch.zeros(dimension, dimension)
    for r in range(dimension):
        for c in range(r):
            value = uniform(-angle, angle, generator, 1).item()
            turn[r, c], turn[c, r] = value, -value
    common = uniform(-ranges.scale, ranges.scale, generator, 1)
    scale = torch.diag(common + uniform(-ranges.scale, ranges.scale, generator, dimension) / 3)
    shear = torch.triu(uniform(-ranges.shear, ranges.shear, generator, dimension, dimension), 1)
    linear = torch.linalg.matrix_exp(turn) @ torch.linalg.matrix_exp(scale + shear)
    return linear, uniform(-ranges.translation_mm, ranges.translation_mm, generator, dimension)


def random_displacement(shape: tuple[int, ...], spacing: float, ranges: Ranges, generator: torch.Generator) -> Tensor:
    """(1, D, *shape), voxels: a diffeomorphism, the exponential of one or two random smooth velocities.

    Drawn and integrated on a lattice four times coarser, where it costs nothing and loses nothing: the control points
    lie at least `control_mm` apart.
    """
    dimension = len(shape)
    coarse = tuple(max(4, math.ceil(n / 4)) for n in shape)
    velocity = torch.zeros(1, dimension, *coarse)
    for _ in range(1 + int(torch.rand((), generator=generator) < 0.5)):
        control = math.exp(uniform(math.log(ranges.control_mm[0]), math.log(ranges.control_mm[1]), generator, 1).item())
        points = tuple(max(3, math.ceil(n * spacing / control) + 1) for n in shape)
        sigma = uniform(0, ranges.elastic, generator, 1).item() * control / (4 * spacing)
        drawn = torch.randn(1, dimension, *points, generator=generator) * sigma
        velocity += F.interpolate(drawn, size=coarse, mode=INTERPOLATION[dimension], align_corners=True)
    pool = F.avg_pool3d if dimension == 3 else F.avg_pool2d
    for _ in range(2):  # rounds off the kinks of linear interpolation
        velocity = pool(velocity, 3, 1, 1, count_include_pad=False)
    return enlarge(integrate(velocity, 6), shape)


@dataclass(frozen=True)
class Placement:
    """x -> linear (x + u(x)) + translation, in mm about the lattice's middle; u in mm, or none."""

    linear: Tensor
    translation: Tensor
    displacement: Tensor | None

    @classmethod
    def draw(cls, shape, spacing: float, ranges: Ranges, generator: torch.Generator, elastic: bool = True) -> Placement:
        linear, translation = random_affine(len(shape), ranges, generator)
        u = random_displacement(shape, spacing, ranges, generator)[0] * spacing if elastic else None
        return cls(linear, translation, u)

    def deformed(self, shape: tuple[int, ...], spacing: float) -> Tensor:
        """(*shape, D) mm about the middle: x + u(x), before the affine part."""
        x = middle_points(shape, spacing)
        return x if self.displacement is None else x + self.displacement.movedim(0, -1)

    def apply(self, x: Tensor) -> Tensor:
        """The affine part alone on (..., D) mm about the middle."""
        return x @ self.linear.T + self.translation

    def after(self, inner: Placement) -> Placement:
        """x -> self(inner(x)) for a self without displacement."""
        return Placement(
            self.linear @ inner.linear, self.linear @ inner.translation + self.translation, inner.displacement
        )


def middle_points(shape: tuple[int, ...], spacing: float) -> Tensor:
    """(*shape, D): each voxel's place in mm about the lattice's middle."""
    half = torch.tensor([(n - 1) / 2 for n in shape[::-1]])
    return (identity(tuple(shape), torch.device("cpu"))[0] - half) * spacing
