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

    fixed_centre, moving_centre: (D,) float64 LPS mm; the pose zero brings one to the other. radius: mm; a parameter of
    one moves a point at that distance by about one millimetre, whether it turns, stretches or shifts.

    A pose is a row (turns, shifts, stretches): D (D - 1) / 2 turns, D shifts, D (D + 1) / 2 entries of a symmetric
    matrix: x -> moving_centre + shift + exp(turn) exp(stretch) (x - fixed_centre).
    """

    fixed_centre: Tensor
    moving_centre: Tensor
    radius: float

    @property
    def dimension(self) -> int:
        return len(self.fixed_centre)

    @property
    def numbers(self) -> int:
        d = self.dimension
        return d * (d - 1) // 2 + d + d * (d + 1) // 2

    def matrices(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """(B, numbers) poses to linear parts (B, D, D) and to where the fixed centre goes (B, D), LPS mm."""
        d = self.dimension
        turns = d * (d - 1) // 2
        angle, shift, stretch = pose[:, :turns] / self.radius, pose[:, turns : turns + d], pose[:, turns + d :]
        skew = pose.new_zeros(pose.shape[0], d, d)
        symmetric = pose.new_zeros(pose.shape[0], d, d)
        rows = torch.tensor(list(combinations(range(d), 2)))
        skew = skew.index_put((slice_of(pose), rows[:, 0], rows[:, 1]), angle)
        skew = skew - skew.transpose(1, 2)
        upper = torch.triu_indices(d, d)
        symmetric = symmetric.index_put((slice_of(pose), upper[0], upper[1]), stretch / self.radius)
        symmetric = (symmetric + symmetric.transpose(1, 2)) / 2
        linear = torch.linalg.matrix_exp(skew) @ torch.linalg.matrix_exp(symmetric)
        return linear, self.moving_centre.to(pose) + shift

    def affine(self, pose: Tensor) -> Affine:
        """One pose (numbers,) as a transform, fixed LPS mm to moving LPS mm."""
        linear, centre = self.matrices(pose[None].double())
        return Affine.from_parts(linear[0], centre[0] - linear[0] @ self.fixed_centre)

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


def slice_of(pose: Tensor) -> Tensor:
    """(B, 1) row numbers, to fill the same entries of each row's matrix."""
    return torch.arange(pose.shape[0])[:, None]
