"""Align: the rigid or affine transform with the greatest mutual information, from far away and from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Affine, Grid, Image, resample
from ..losses.joint import joint_information
from .body import body_points, box
from .intensity import intensity_range
from .network import Pair
from .pose import STIFFNESS, PoseFrame
from .reduce import averaged

TURNS = 1000  # poses looked at before the coarsest level climbs from the best: about 15 degrees apart in a volume
LOOK_POINTS = 700  # by which they are compared
CLIMBERS = 11  # of them that climb, beside the base itself
APART_DEGREES = 25.0  # of two poses that go on: closer ones end in the same place
TOGETHER = 64  # poses compared at once
PREFERENCE = 0.1  # share of its information that a pose loses which is turned by 180 degrees: the near one of two alike
MARGIN = 0.25  # of the body's radius: how far around it points are drawn
MEMORY = 0.8, 0.95  # of the slopes and their squares from step to step
ODD = math.log(1.25)  # stretch along an axis beyond which an affine transform is doubted
NEAR_OUTSIDE = 0.25  # what a point that leaves the moving image counts, at the two coarsest levels


@dataclass(frozen=True)
class Step:
    """One level: how fine, with how many points and bins, from how many poses, which freedoms, how many steps."""

    fineness: float  # radius of the body in voxels of the level
    points: int
    bins: int
    keep: int
    free: str
    steps: int


# the body's radius (root mean square) is about 60 mm in a head: voxels of 10, 6, 3 and 1.7 mm
COARSE = (Step(6, 1500, 16, 3, "similar", 30), Step(10, 4000, 24, 1, "similar", 30))
FINE = (Step(20, 10000, 32, 1, "all", 40), Step(36, 25000, 32, 1, "all", 40))


def align(
    pair: Pair,
    base: Affine,
    kind: str = "affine",
    wide: bool = True,
    seed: int = 0,
    tick: Callable[[float], None] = lambda share: None,
    steps: tuple[Step, ...] = COARSE + FINE,
    stiffness: float = 0.0,
) -> Affine:
    """The transform (fixed LPS mm to moving LPS mm) of `kind` rigid or affine that tells most of one image from the
    other.

    Mutual information by Mattes et al. 2003, of points drawn from the fixed image's body and around it; gradients
    through the moving image (`losses.joint`). base: where to begin; rigid keeps its scale and shear. wide: turns of any
    size about the centre of the body are looked at on the coarsest level, the best and the base climb from there, and a
    finer level tells which it is: which shares most information over most of the fixed body; else only the base.
    Masks: points are drawn inside the fixed one, and count where they meet the moving one. The same seed gives the
    same transform; the caller's random numbers are not touched. `tick` takes the share done.
    steps: the levels to go through. stiffness: against stretches and shears, see PoseFrame.likely.
    """
    generator = torch.Generator().manual_seed(seed)
    body = body_points(pair.fixed, pair.fixed_mask)
    centre = body.mean(0)
    radius = float((body - centre).square().sum(1).mean().sqrt())
    frame = PoseFrame(base, centre, radius, stiffness)
    poses = torch.zeros(1, frame.numbers)
    for number, step in enumerate(steps):
        level = Level.of(pair, body, radius, step, generator, NEAR_OUTSIDE if step in COARSE else 0.0)
        if wide and number == 0:
            turns = frame.every_turn(TURNS)
            seen = _seen(level.thinned(LOOK_POINTS), frame, turns)
            poses = turns[_base_and(_best_apart(frame, turns, seen, CLIMBERS))]
        if len(poses) > 1 and step not in COARSE:
            poses = poses[_best_apart(frame, poses, _seen(level, frame, poses), 1)]
        poses, scores = _climbed(level, frame, poses, kind, step)
        poses = poses[_base_and(_best_apart(frame, poses, scores, step.keep))]
        tick((number + 1) / len(steps))
    if len(poses) > 1:
        level = Level.of(pair, body, radius, FINE[0], generator, 0.0)
        poses = poses[_best_apart(frame, poses, _seen(level, frame, poses), 1)]
    found = frame.affine(poses[0])
    if kind == "affine" and wide and float(frame.stretches(found).abs().max()) > ODD:
        found = _plainer(pair, frame, found, level, seed)
    return found


def _plainer(pair: Pair, frame: PoseFrame, found: Affine, level: Level, seed: int) -> Affine:
    """`found`, or what is found rigidly first and affinely from there, whichever is worth more on `level`.

    Of two small windows coarse levels may see most in a shrunken copy of one of them, from which no finer level leads
    back.
    """

    def worth(one: Affine) -> float:
        seen = float(_seen(level, replace(frame, base=one), torch.zeros(1, frame.numbers)))
        return seen * max(0.0, 1 - STIFFNESS * float(frame.stretches(one).square().mean()))

    rigid = align(pair, frame.base, "rigid", True, seed)
    return max(found, align(pair, rigid, "affine", False, seed, steps=FINE), key=worth)


def _base_and(best: list[int]) -> list[int]:
    """The base's own climber goes on too: coarse levels may prefer a turn that leaves little in common."""
    return [0, *(number for number in best if number)]


@dataclass
class Level:
    """points: (N, D) fixed LPS mm, relative to nothing; fixed_bin: (N,); moving: (2, *shape), grey levels in [0, 1]
    and where they count; to_index: LPS mm to the moving tensor's index; outside: what a point beyond it counts."""

    points: Tensor
    fixed_bin: Tensor
    moving: Tensor
    grid: Grid
    bins: int
    outside: float
    outside_level: float

    @classmethod
    def of(cls, pair: Pair, body: Tensor, radius: float, step: Step, generator, outside: float) -> Level:
        spacing = radius / step.fineness
        fixed, inside = _fixed_level(pair, body, radius, spacing)
        bottom, top = intensity_range(fixed.tensor)
        grey = ((fixed.tensor[0] - bottom) / max(top - bottom, 1e-12)).clamp(0, 1)
        where = torch.nonzero(inside.flatten())[:, 0]
        chosen = where[torch.randint(len(where), (step.points,), generator=generator)]
        # anywhere in a voxel: points in step with the voxels would make the information prefer whole voxels
        index = _indices(chosen, fixed.grid.size).double()
        index += torch.rand(index.shape, generator=generator, dtype=torch.float64) - 0.5
        read = _read(grey[None], index[None].float())[0][0]
        matrix = fixed.grid.matrix
        points = (index @ matrix[:-1, :-1].T + matrix[:-1, -1]).float()
        fixed_bin = (read * step.bins).long().clamp(0, step.bins - 1)
        moving, level = _moving_level(pair, spacing)
        return cls(points, fixed_bin, moving.tensor, moving.grid, step.bins, outside, level)

    def thinned(self, points: int) -> Level:
        """The same level with its first `points` points: they are in no order."""
        return replace(self, points=self.points[:points], fixed_bin=self.fixed_bin[:points])

    def information(self, linear: Tensor, centre: Tensor, about: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(information, surrogate, share of the points that count), each (B,), of (B, D, D) linear parts that send
        `about` to (B, D) `centre`."""
        moved = (self.points - about.float()) @ linear.transpose(1, 2) + centre[:, None]
        inverse = self.grid.inverse_matrix.float()
        index = moved @ inverse[:-1, :-1].T + inverse[:-1, -1]
        read = _read(self.moving, index)
        size = torch.tensor(self.grid.size)
        with torch.no_grad():
            beyond = (torch.maximum(-0.5 - index, index - (size - 0.5))).amax(-1).clamp(0, 1)
            weight = read[1].detach() * (1 - beyond) + self.outside * beyond
        grey = torch.where(beyond > 0.5, torch.full_like(read[0], self.outside_level), read[0])
        return *joint_information(self.fixed_bin, grey, weight, self.bins), weight.mean(1)


def _fixed_level(pair: Pair, body: Tensor, radius: float, spacing: float) -> tuple[Image, Tensor]:
    """The fixed image around its body on a regular lattice, and where points may be drawn."""
    low, high = box(body)
    margin = MARGIN * radius
    size = tuple(max(1, round(float(e) / spacing)) for e in (high - low + 2 * margin))
    grid = Grid.regular(size, spacing, (low + high) / 2)
    image = resample(averaged(pair.fixed, grid), grid, None, "linear", pair.fixed_fill)
    within = Image(torch.ones((1, *pair.fixed.grid.shape), dtype=torch.uint8), pair.fixed.grid)
    inside = resample(within, grid, None, "nearest", 0).tensor[0] > 0
    if pair.fixed_mask is not None and (masked := inside & pair.fixed_mask.on(grid)).any():
        inside = masked
    return image, inside


def _moving_level(pair: Pair, spacing: float) -> tuple[Image, float]:
    """(2, *shape): grey levels in [0, 1] and where they count; and the background's grey level."""
    target = Grid.regular(tuple(max(1, round(float(e) / spacing)) for e in pair.moving.grid.extent), spacing)
    coarse = averaged(pair.moving, Grid(target.size, target.spacing, target.origin, pair.moving.grid.direction))
    bottom, top = intensity_range(coarse.tensor)
    grey = ((coarse.tensor - bottom) / max(top - bottom, 1e-12)).clamp(0, 1)
    if pair.moving_mask is None:
        counts = torch.ones_like(grey)
    else:
        counts = pair.moving_mask.on(coarse.grid)[None].float()
    level = min(1.0, max(0.0, (pair.moving_fill - bottom) / max(top - bottom, 1e-12)))
    return Image(torch.cat([grey, counts]), coarse.grid), level


def _indices(flat: Tensor, size: tuple[int, ...]) -> Tensor:
    """(N, D) index I, J(, K) of voxels given by their place in memory. Torch's own imports a formula manipulator."""
    columns = []
    for n in size:
        columns.append(flat % n)
        flat = flat // n
    return torch.stack(columns, -1)


def _read(tensor: Tensor, index: Tensor) -> Tensor:
    """(C, *shape) at (B, N, D) index positions I, J(, K): (C, B, N), the border held outside."""
    d = index.shape[-1]
    size = torch.tensor(tensor.shape[:0:-1])
    normal = ((index * 2 + 1) / size - 1).reshape(1, *index.shape[:2], *([1] * (d - 2)), d)
    read = F.grid_sample(tensor[None], normal, padding_mode="border", align_corners=False)
    return read.reshape(tensor.shape[0], *index.shape[:2])


@torch.no_grad()
def _seen(level: Level, frame: PoseFrame, poses: Tensor) -> Tensor:
    """(B,) information of (B, numbers) poses as they are, times the share of points that met the moving image."""
    scores = []
    for part in poses.split(TOGETHER):  # some at a time, so that they stay in the cache
        information, _, share = level.information(*frame.matrices(part), frame.centre)
        scores.append(information * share * frame.likely(part))
    return torch.cat(scores)


def _best_apart(frame: PoseFrame, poses: Tensor, scores: Tensor, count: int) -> list[int]:
    """Which of the poses go on, best first: none turned by less than APART_DEGREES from a better one."""
    angles = frame.angles(poses)
    left = (scores * (1 - PREFERENCE * frame.angles(poses, torch.zeros_like(poses[:1]))[:, 0] / 180)).clone()
    chosen: list[int] = []
    while len(chosen) < count and left.max() > -math.inf:
        chosen.append(int(left.argmax()))
        left[angles[chosen[-1]] < APART_DEGREES] = -math.inf
    return chosen


def _climbed(level: Level, frame: PoseFrame, poses: Tensor, kind: str, step: Step) -> tuple[Tensor, Tensor]:
    """Each of (B, numbers) poses after `step.steps` of Adam uphill, and its information then."""
    free = frame.free(kind if step.free == "all" or kind == "rigid" else step.free)
    spacing = frame.radius / step.fineness
    moved = torch.zeros(poses.shape[0], free.shape[0], requires_grad=True)
    mean, square = torch.zeros(2, *moved.shape)
    for turn in range(step.steps):
        linear, centre = frame.matrices(poses + moved @ free)
        information, surrogate, _ = level.information(linear, centre, frame.centre)
        up = (surrogate + information.detach() * frame.likely(poses + moved @ free)).sum()
        (slope,) = torch.autograd.grad(up, moved)
        # Adam (Kingma and Ba 2015); torch's own takes a second to import
        mean.lerp_(slope, 1 - MEMORY[0])
        square.lerp_(slope.square(), 1 - MEMORY[1])
        fair = [1 - memory ** (turn + 1) for memory in MEMORY]
        length = spacing * 0.5 * 0.05 ** (turn / max(1, step.steps - 1))  # from half a voxel a step to a fortieth
        with torch.no_grad():
            moved += length * (mean / fair[0]) / ((square / fair[1]).sqrt() + 1e-8)
    with torch.no_grad():
        poses = poses + moved @ free
        linear, centre = frame.matrices(poses)
        information, _, _ = level.information(linear, centre, frame.centre)
    return poses, information * frame.likely(poses)
