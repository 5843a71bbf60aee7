"""Pose: a few numbers that stand for a rigid or an affine transform, all of them in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, product

import torch
from torch import Tensor

from ..core import Affine

KINDS = ("rigid", "affine")


@dataclass(frozen=True)
class PoseFrame:
    """About which point and on which scale poses are counted.

    base: what the pose zero stands for, fixed to moving LPS mm. centre: (D,) float64 LPS mm in the fixed image, which
    the base leads to `moving_centre`. radius: mm; a parameter of one moves a point at that distance by about one
    millimetre, whether it turns, stretches or shifts.

    A pose is a row (turns, shifts, stretches): D (D - 1) / 2 turns, D shifts, D (D + 1) / 2 entries of a symmetric
    matrix: x -> moving_centre + shift + exp(turn) exp(stretch) base.linear (x - centre).
    """

    base: Affine
    centre: Tensor
    radius: float

    @property
    def dimension(self) -> int:
        return len(self.centre)

    @property
    def moving_centre(self) -> Tensor:
        return self.base.points(self.centre)

    @property
    def numbers(self) -> int:
        d = self.dimension
        return d * (d - 1) // 2 + d + d * (d + 1) // 2

    def matrices(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """(B, numbers) poses to linear parts (B, D, D) and to where the centre goes (B, D), LPS mm."""
        d = self.dimension
        turns = d * (d - 1) // 2
        angle, shift, stretch = pose[:, :turns] / self.radius, pose[:, turns : turns + d], pose[:, turns + d :]
        skew = pose.new_zeros(pose.shape[0], d, d)
        symmetric = pose.new_zeros(pose.shape[0], d, d)
        rows = torch.tensor(list(combinations(range(d), 2)))
        number = torch.arange(pose.shape[0])[:, None]
        skew = skew.index_put((number, rows[:, 0], rows[:, 1]), angle)
        skew = skew - skew.transpose(1, 2)
        upper = torch.triu_indices(d, d)
        symmetric = symmetric.index_put((number, upper[0], upper[1]), stretch / self.radius)
        symmetric = (symmetric + symmetric.transpose(1, 2)) / 2
        linear = torch.linalg.matrix_exp(skew) @ torch.linalg.matrix_exp(symmetric) @ self.base.linear.to(pose)
        return linear, self.moving_centre.to(pose) + shift

    def affine(self, pose: Tensor) -> Affine:
        """One pose (numbers,) as a transform, fixed LPS mm to moving LPS mm."""
        linear, centre = self.matrices(pose[None].double())
        return Affine.from_parts(linear[0], centre[0] - linear[0] @ self.centre)

    def free(self, kind: str) -> Tensor:
        """(freedoms, numbers): the directions a `kind` may go: rigid | similar (one scale) | affine."""
        d = self.dimension
        rigid = d * (d - 1) // 2 + d
        whole = torch.eye(self.numbers)
        if kind == "affine":
            return whole
        if kind == "rigid":
            return whole[:rigid]
        scale = torch.zeros(1, self.numbers)
        upper = torch.triu_indices(d, d)
        scale[0, rigid:][upper[0] == upper[1]] = 1
        return torch.cat([whole[:rigid], scale])

    def turned(self, degrees: float) -> Tensor:
        """(3 ** turns, numbers) poses to begin from: every combination of -degrees, 0 and degrees about each axis."""
        d = self.dimension
        step = math.radians(degrees) * self.radius
        steps = (-step, 0.0, step) if d == 3 else (-2 * step, -step, 0.0, step, 2 * step)
        turns = sorted(product(steps, repeat=d * (d - 1) // 2), key=lambda t: sum(abs(a) for a in t))
        poses = torch.zeros(len(turns), self.numbers)
        poses[:, : d * (d - 1) // 2] = torch.tensor(turns)
        return poses

