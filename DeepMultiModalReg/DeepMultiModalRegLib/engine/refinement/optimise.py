"""Optimise: a stationary velocity field on one level, step by step until nothing is gained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .flow import control_shape, displacement, neighbours_minus, pooled
from .objective import Quadratic
from .solve import entries, solved

CONJUGATE = 12  # iterations for a step: enough for a step that is taken once and corrected by the next
LONGEST = 1.0  # voxels a step may move a point: the model holds no further
DAMPING = 0.02  # of the mean curvature, added to every cell's
TINY = 1e-9  # curvature where an image shows nothing at all


@dataclass(frozen=True)
class Settings:
    """steps: at most; stride: voxels a control cell covers; stiffness: weight of the squared derivative of the
    velocity against the squared difference of features, per voxel; gain: relative fall of the objective below which a
    level ends; halvings: steps in a row that may fail to gain it before that, each half as long as the one before;
    hasty: after a step that gained, none may fail."""

    steps: int = 10
    stride: int = 2
    stiffness: float = 0.4
    gain: float = 4e-3
    halvings: int = 2
    hasty: bool = False


def optimise(
    objective, velocity: Tensor, settings: Settings, tick: Callable[[], None] = lambda: None
) -> tuple[Tensor, list[float]]:
    """(velocity, the objective before and after each step): minimises the mean of `objective` plus stiffness times the
    mean squared derivative.

    velocity: (N, D, *control), voxels of the objective's lattice. Each step solves a quadratic model of the whole
    (Gauss and Newton's with a little damping), adds the solution to the velocity (first order of Baker, Campbell and
    Hausdorff), and is halved where the objective rose.
    """
    shape, stride = objective.shape, settings.stride
    d = len(shape)
    stiffness = settings.stiffness / stride**2
    best, now = velocity, objective.around(displacement(velocity, shape, stride))
    value = _value(now.energy, best, stiffness)
    trail = [float(value.mean())]
    length, rejected, allowed = torch.ones_like(value), 0, settings.halvings
    for number in range(1, settings.steps + 1):
        tick()
        step = _step(now, best, stiffness, stride) * _per_image(length, d)
        trial = best + step
        last = number == settings.steps  # no step follows: no model of one is needed
        then = objective.around(displacement(trial, shape, stride), model=not last)
        reached = _value(then.energy, trial, stiffness)
        better = reached < value
        gained = float((value - reached).clamp(min=0).mean() / value.abs().mean().clamp(min=1e-12))
        pick = _per_image(better, d)
        best = torch.where(pick, trial, best)
        if not last:
            now = _chosen(better, then, now)
        value = torch.where(better, reached, value)
        length = torch.where(better, (2 * length).clamp(max=1), length / 2)
        trail.append(float(value.mean()))
        if gained < settings.gain:
            rejected += 1
            if better.all() or rejected > allowed:
                break
        else:
            rejected, allowed = 0, 0 if settings.hasty else settings.halvings
    return best, trail


def _chosen(pick: Tensor, first: Quadratic, second: Quadratic) -> Quadratic:
    """For each image the first where picked, else the second."""
    if pick.all() or not pick.any():  # as always where there is one image: nothing is copied
        return first if pick.all() else second
    wide = _per_image(pick, first.slope.shape[1])
    return Quadratic(
        torch.where(pick, first.energy, second.energy),
        torch.where(wide, first.slope, second.slope),
        torch.where(wide, first.curvature, second.curvature),
    )


def better(objective, first: Tensor, second: Tensor, settings: Settings) -> Tensor:
    """Of two velocities, for each image the one to begin with: where what `optimise` minimises is lower."""
    shape, stride = objective.shape, settings.stride
    values = [
        _value(objective.around(displacement(v, shape, stride), model=False).energy, v, settings.stiffness / stride**2)
        for v in (first, second)
    ]
    return torch.where(_per_image(values[0] < values[1], len(shape)), first, second)


def _step(now: Quadratic, velocity: Tensor, stiffness: float, stride: int) -> Tensor:
    """The step to the minimum of the quadratic model, no longer anywhere than the model holds."""
    d = velocity.shape[1]
    curvature, slope = pooled(now.curvature, stride), pooled(now.slope, stride)
    diagonal = [n for n, (i, j) in enumerate(entries(d)) if i == j]
    mean = curvature[:, diagonal].flatten(1).mean(1)
    curvature[:, diagonal] += _per_image(DAMPING * mean + TINY, d)
    step = solved(curvature, slope + stiffness * neighbours_minus(velocity), stiffness, CONJUGATE)
    return step * (LONGEST / step.norm(dim=1, keepdim=True).clamp(min=LONGEST))


def _per_image(x: Tensor, dimension: int) -> Tensor:
    """(N,) to (N, 1, 1, 1(, 1))."""
    return x.reshape(-1, *([1] * (dimension + 1)))


def _value(energy: Tensor, velocity: Tensor, stiffness: float) -> Tensor:
    rough = (velocity * neighbours_minus(velocity)).flatten(1).sum(1) / velocity[0, 0].numel()
    return energy + stiffness * rough


def zero_velocity(count: int, shape: tuple[int, ...], stride: int, device) -> Tensor:
    return torch.zeros((count, len(shape), *control_shape(shape, stride)), device=device)
