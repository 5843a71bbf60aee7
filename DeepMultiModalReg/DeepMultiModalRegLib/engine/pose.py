"""Pose: a few numbers that stand for a rigid or an affine transform, all of them in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ..core import Affine

KINDS = ("rigid", "affine")
STIFFNESS = 3.0  # of `likely`, in the square of a scale's logarithm; it moves a scale of 10 % by less than 0.1 %


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
    stiffness: float = 0.0  # of `likely` against every stretch and shear, beside what always holds

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
        shift = pose[:, turns : turns + d]
        linear = (
            torch.linalg.matrix_exp(self._skew(pose))
            @ torch.linalg.matrix_exp(self._symmetric(pose))
            @ self.base.linear.to(pose)
        )
        return linear, self.moving_centre.to(pose) + shift

    def affine(self, pose: Tensor) -> Affine:
        """One pose (numbers,) as a transform, fixed LPS mm to moving LPS mm."""
        linear, centre = self.matrices(pose[None].double())
        return Affine.from_parts(linear[0], centre[0] - linear[0] @ self.centre)

    def stretches(self, affine: Affine) -> Tensor:
        """(D,) logarithms of an affine transform's stretches beside the base's."""
        return torch.linalg.svdvals(affine.linear @ torch.linalg.inv(self.base.linear)).log()

    def likely(self, pose: Tensor) -> Tensor:
        """(B,) one for a pose that keeps every length, less where it stretches or shrinks: 0.9 at 20 %, 0 beyond 80 %.

        Small fields of view agree best with a shrunken copy of themselves; people's heads do not differ so much. With a
        stiffness of its own a frame holds against shears too: 10 takes 0.1 for a stretch of 10 % along one axis.
        """
        stretch = self._symmetric(pose)
        along = stretch.diagonal(dim1=1, dim2=2).square().mean(1)
        # the frame's own is not clamped: it must still pull back from where it has lost everything
        return (1 - STIFFNESS * along).clamp(min=0) - self.stiffness * stretch.square().sum((1, 2))

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

    def every_turn(self, count: int) -> Tensor:
        """(1 + count, numbers): the pose zero, then turns by any angle, spread evenly over all there are.

        In a volume by super-Fibonacci spirals (Alexa 2022); in a plane there is one turn for every 10 degrees.
        """
        d = self.dimension
        if d == 2:
            vectors = torch.arange(-170, 190, 10, dtype=torch.float64)[:, None].deg2rad()
            vectors = vectors[vectors[:, 0] != 0]
        else:
            vectors = _spread_turns(count)
        poses = torch.zeros(1 + len(vectors), self.numbers)
        poses[1:, : d * (d - 1) // 2] = vectors * self.radius
        return poses

    def angles(self, poses: Tensor, others: Tensor | None = None) -> Tensor:
        """(B, O) degrees between the turns of poses (B, numbers) and of others (O, numbers), or of each other."""
        d = self.dimension
        turns = torch.linalg.matrix_exp(self._skew(poses))
        against = turns if others is None else torch.linalg.matrix_exp(self._skew(others))
        trace = turns.flatten(1) @ against.flatten(1).T
        return ((trace - 1) / 2 if d == 3 else trace / 2).clamp(-1, 1).arccos().rad2deg()

    def _symmetric(self, poses: Tensor) -> Tensor:
        """(B, D, D): the stretches' logarithms."""
        d = self.dimension
        stretch = poses[:, d * (d - 1) // 2 + d :]
        symmetric = poses.new_zeros(poses.shape[0], d, d)
        number = torch.arange(poses.shape[0])[:, None]
        upper = torch.triu_indices(d, d)
        symmetric = symmetric.index_put((number, upper[0], upper[1]), stretch / self.radius)
        return (symmetric + symmetric.transpose(1, 2)) / 2

    def _skew(self, poses: Tensor) -> Tensor:
        """(B, D, D): the turns' logarithms."""
        d = self.dimension
        rows = torch.tensor(list(combinations(range(d), 2)))
        number = torch.arange(poses.shape[0])[:, None]
        skew = poses.new_zeros(poses.shape[0], d, d)
        skew = skew.index_put((number, rows[:, 0], rows[:, 1]), poses[:, : len(rows)] / self.radius)
        return skew - skew.transpose(1, 2)


def _spread_turns(count: int) -> Tensor:
    """(count, 3) float64: entries (0, 1), (0, 2), (1, 2) of the logarithms of `count` turns spread evenly over all.

    Super-Fibonacci spirals, Alexa, CVPR 2022: unit quaternions with a low discrepancy.
    """
    position = torch.arange(count, dtype=torch.float64) + 0.5
    inner, outer = (position / count).sqrt(), (1 - position / count).sqrt()
    first, second = 2 * math.pi * position / math.sqrt(2), 2 * math.pi * position / 1.533751168755204288118041
    real = outer * second.cos()
    vector = torch.stack([inner * first.sin(), inner * first.cos(), outer * second.sin()], 1)
    vector = vector * torch.where(real < 0, -1.0, 1.0)[:, None]
    angle = 2 * real.abs().clamp(max=1).arccos()
    vector = vector / vector.norm(dim=1, keepdim=True) * angle[:, None]
    return torch.stack([-vector[:, 2], vector[:, 1], -vector[:, 0]], 1)
