"""Refine: the optimisation of one pair's field after the start and the network; no weights are touched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..core import DenseField, Image
from .body import body_points
from .memory import is_shortage, release
from .network import Pair
from .refinement.described import Described
from .refinement.flow import control_shape, displacement, resized
from .refinement.inputs import seen_pair, shown, weights
from .refinement.levels import MEASURES, Levels
from .refinement.optimise import Settings, better, optimise, zero_velocity
from .refinement.root import Root, guessed_velocity
from .report import fold_percent
from .working import Working, working_lattice

VOXELS = 8_000_000  # of the lattice that features are computed on: their halves are 24 MB an image and channel
POOL = 2  # features are averaged over so many voxels a side
STRIDE = 2  # and the velocity's control cells cover so many of those
SMALL = 3_000_000  # voxels of a lattice on which a last level takes the features as they are
THICK = 1.5  # where a slice of either image is thicker than so many voxels they hold nothing more; and it stays stiff
SMALL_STRIDE = 4
LAST_STEPS = 2  # there: the first gains eight tenths of what many do, the second most of the rest
COARSEST = 0.2  # of the body's radius: no level is coarser
FEWEST = 4  # cells of the coarsest level along any axis
FOLDED = 0.02  # percent of voxels above which the velocity is smoothed
ATTEMPTS = 3


@dataclass
class Refined:
    """field: what comes before root.base, on `working`, not closed; report: JSON-able."""

    field: DenseField
    working: Working
    report: dict


def refine(
    pair: Pair,
    root: Root,
    planar: bool,
    steps: int,
    device: torch.device,
    by: str = "mind",
    rendered: Image | None = None,
    features: Described | None = None,
    tick: Callable[[float], None] = lambda share: None,
) -> tuple[Refined, list[str]]:
    """A smooth one-to-one field e such that x -> root.base(x + e(x)) agrees better than what root holds, and warnings.

    root: what the start and the network have found, see refinement.root. planar: slice by slice, in the planes of the
    fixed image only. steps: at most so many on each level, from coarse to fine; a level ends earlier where nothing is
    gained. by: "mind", MIND-SSC; "mi", mutual information; "ncc", local correlation with `rendered` (the moving image
    in the fixed's modality, already on the fixed lattice as root.before puts it there) or else the moving image;
    "model", what a model's `features` say.

    The field is the exponential of a stationary velocity on a coarse control lattice, stiff by diffusion. Both images'
    features are computed once a level; the moving ones are read where points move. Masks: a voxel outside the fixed one
    exerts no force, nor does one that meets nothing of the moving one. Nothing is random. Where memory runs short it
    works on a coarser lattice and says so.
    """
    measure = MEASURES[by]
    body = body_points(pair.fixed, pair.fixed_mask)
    if device.type == "mps":  # sparse reads are not offered there; a model's features are
        features = None if features is None else _elsewhere(features, device)
        device = torch.device("cpu")
    warnings: list[str] = []
    spacing = _spacing(pair, planar)
    factors = _factors(body, spacing)
    for attempt in range(ATTEMPTS):
        multiple = POOL * factors[0]
        working, _ = working_lattice(
            pair.fixed.grid, body, 2 if planar else 3, spacing * 1.3**attempt, multiple, VOXELS
        )
        try:
            return _refined(pair, root, working, factors, steps, device, measure, rendered, features, tick), warnings
        except Exception as error:
            if not is_shortage(error) or attempt == ATTEMPTS - 1:
                raise
            release(device)
            coarser = 1.3 ** (attempt + 1)
            warnings.append(f"Memory was short: the refinement worked on a lattice {coarser:.1f} times coarser.")
    raise AssertionError("unreachable: the last attempt returns or raises")


def _spacing(pair: Pair, planar: bool) -> float:
    """mm of the lattice: the fixed image's, of a volume the mean over its axes."""
    spacing = [s for s, n in zip(pair.fixed.grid.spacing, pair.fixed.grid.size, strict=True) if n > 1]
    return min(spacing) if planar else math.prod(spacing) ** (1 / len(spacing))


def _coarsest(pair: Pair) -> float:
    """mm of the thickest slices of both images."""
    grids = pair.fixed.grid, pair.moving.grid
    return max(s for grid in grids for s, n in zip(grid.spacing, grid.size, strict=True) if n > 1)


def _factors(body: Tensor, spacing: float) -> list[int]:
    """How many times coarser than the lattice each level is, from coarse to fine."""
    radius = float((body - body.mean(0)).square().sum(1).mean().sqrt())
    extent = float((body.amax(0) - body.amin(0)).sort(descending=True).values[1])
    factor, factors = 1, [1]
    while 2 * factor * POOL * spacing <= min(COARSEST * radius, extent / FEWEST):
        factor *= 2
        factors.insert(0, factor)
    return factors


def _elsewhere(features: Described, device: torch.device) -> Callable:
    """The same features of two images on the CPU, computed on `device`."""
    return lambda fixed, moving, spacing: tuple(x.cpu() for x in features(fixed.to(device), moving.to(device), spacing))


def _refined(
    pair, root, working, factors, steps, device, measure, rendered, features, tick
) -> Refined:
    plan = [(factor, POOL, STRIDE) for factor in factors]
    thick = not working.planar and _coarsest(pair) > THICK * working.grid.spacing[0]
    if working.grid.voxels <= SMALL and not thick:
        plan.append((1, 1, SMALL_STRIDE))
    finest = plan[-1][1]
    features = partial(features, spacing=working.grid.spacing[0]) if measure is MEASURES["model"] else None
    levels = Levels(*seen_pair(pair, root.base, working, rendered, device), finest, measure, features)
    reached = working.coarser(finest, 1)
    levels.weight, levels.counts = weights(pair, root.base, reached, device)
    if measure is MEASURES["mind"] and not working.planar:
        levels.region = shown(levels.fixed[0, 0], levels.moving[0, 0], working.grid.spacing[0])
    velocity, before, told = None, (1, 1), []
    for number, (factor, pool, stride) in enumerate(plan):
        objective = levels.objective(factor, pool)
        shape = objective.shape
        last = number == len(plan) - 1  # a step costs most there, and little is left to gain
        allowed = min(steps, LAST_STEPS) if pool < POOL else steps
        stiffness = measure.last if last and not thick else measure.stiffness
        settings = Settings(allowed, stride, stiffness * levels.channels, hasty=last)
        if velocity is None:
            velocity = zero_velocity(levels.count, shape, stride, device)
            if root.guess is not None:  # a network may be wrong about a pair
                guess = guessed_velocity(root.guess, working, factor * pool, shape, stride).to(device)
                velocity = better(objective, guess, velocity, settings)
        else:
            velocity = resized(velocity, before[1], control_shape(shape, stride), stride, before[0] / (factor * pool))
        before = factor * pool, stride
        done = iter(range(1, steps + 2))
        velocity, trail = optimise(
            objective, velocity, settings,
            lambda number=number, done=done: tick((number + next(done) / (steps + 1)) / len(plan)),
        )  # fmt: skip
        voxel = round(working.grid.spacing[0] * factor * pool, 3)
        told.append({"voxel_mm": voxel, "steps": len(trail) - 1, "objective": trail})
    field, folded = _unfolded(velocity, shape, stride, reached)
    return Refined(field, reached, {
        "measure": measure.name, "levels": told, "iterations": sum(level["steps"] for level in told),
        "similarity": {"before": told[-1]["objective"][0], "after": told[-1]["objective"][-1]},
        "lattice": reached.describe(), "precision": str(levels.dtype).removeprefix("torch."), "folds_percent": folded,
    })  # fmt: skip


def _unfolded(velocity: Tensor, shape: tuple[int, ...], stride: int, working: Working) -> tuple[DenseField, float]:
    """The velocity's field in mm, smoothed where it folds for want of resolution; and percent of folds left."""
    for _ in range(4):
        field = working.field(displacement(velocity, shape, stride).cpu())
        folded = fold_percent(field, working.grid)
        if folded <= FOLDED:
            break
        pool = torch.nn.functional.avg_pool3d if velocity.dim() == 5 else torch.nn.functional.avg_pool2d
        velocity = pool(velocity, 3, 1, 1, count_include_pad=False)
    return field, folded
