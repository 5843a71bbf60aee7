"""How good a network is on people it was not trained on, on pairs drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..methods.base import Method
from ..networks.warp import warp
from .pairs import Pair, PairSampler


@dataclass(frozen=True)
class Score:
    """dice: mean over labels and pairs that have them; error_mm: mean distance to the known field inside the head;
    folds: percent of voxels with a Jacobian determinant that is not positive."""

    dice: float
    error_mm: float
    folds: float


def validation_pairs(sampler: PairSampler, each: int, seed: int = 1234) -> list[Pair]:
    """`each` pairs of every recipe, the same ones whenever asked for."""
    generator = torch.Generator().manual_seed(seed)
    return [sampler.draw(generator, recipe) for recipe in sampler.recipes for _ in range(each)]


def label_dice(fixed: Tensor, moving: Tensor, least_voxels: int = 20) -> float:
    """Mean Dice over the labels that the fixed image shows in `least_voxels` or more."""
    scores = []
    for value in fixed.unique():
        a = fixed == value
        if value == 0 or a.sum() < least_voxels:
            continue
        b = moving == value
        scores.append((2 * (a & b).sum() / (a.sum() + b.sum())).item())
    return sum(scores) / len(scores) if scores else float("nan")


def determinant(displacement: Tensor) -> Tensor:
    """(N, *shape - 1): Jacobian determinant of x + u(x), u (N, D, *shape) in voxels, by forward differences."""
    dimension = displacement.shape[1]
    columns = []
    for index in range(dimension):
        axis = 1 + dimension - index
        difference = displacement.diff(dim=axis)
        for other in range(2, 2 + dimension):
            if other != axis:
                difference = difference.narrow(other, 0, difference.shape[other] - 1)
        columns.append(difference)
    matrix = torch.stack(columns, -1).movedim(1, -2) + torch.eye(dimension, device=displacement.device)
    return torch.linalg.det(matrix)


@torch.no_grad()
def validate(method: Method, pairs: list[Pair], spacing: float, **options) -> dict[str, Score]:
    """Score by kind of pair, and "all"; `options` go to the method's forward. options {"identity": True} scores the
    start."""
    identity = options.pop("identity", False)
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for pair in pairs:
        if identity:
            u = pair.fixed.new_zeros(1, pair.fixed.dim() - 2, *pair.fixed.shape[2:])
        else:
            u = method(pair.fixed, pair.moving, **options).displacement
        dice = error = float("nan")
        if pair.fixed_labels is not None:
            dice = label_dice(pair.fixed_labels, warp(pair.moving_labels, u, "nearest"))
        if pair.truth is not None:
            error = float((u - pair.truth).norm(dim=1, keepdim=True)[pair.fixed > 0.02].mean()) * spacing
        rows.setdefault(pair.kind, []).append((dice, error, 100 * float((determinant(u) <= 0).float().mean())))
    rows["all"] = [row for kind in list(rows) for row in rows[kind]]
    return {kind: Score(*(_mean(column) for column in zip(*values, strict=True))) for kind, values in rows.items()}


def _mean(values) -> float:
    kept = [v for v in values if v == v]
    return sum(kept) / len(kept) if kept else float("nan")
