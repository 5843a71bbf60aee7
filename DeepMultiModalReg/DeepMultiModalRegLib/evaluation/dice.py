"""Dice overlap of label maps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import InputError


def labels_of(*maps: Tensor) -> list[int]:
    """The labels present in every one of the maps, background 0 left out, ascending."""
    sets = [set(torch.unique(m).tolist()) for m in maps]
    return sorted(int(v) for v in set.intersection(*sets) if v != 0)


def dice(a: Tensor, b: Tensor, labels: list[int] | None = None) -> dict[int, float]:
    """2 |A and B| / (|A| + |B|) per label of two integer maps of one shape (Dice 1945).

    labels: the ones to measure, by default those present in both maps. A label that only one of them holds has 0; one
    that neither holds is left out. Raises InputError when the shapes differ.
    """
    if a.shape != b.shape:
        raise InputError(
            f"Label maps of shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be compared; resample one."
        )
    wanted = labels_of(a, b) if labels is None else labels
    count_a, count_b, both = _counts(a), _counts(b), _counts(a[a == b])
    total = {label: count_a.get(label, 0) + count_b.get(label, 0) for label in wanted}
    return {label: 2 * both.get(label, 0) / total[label] for label in wanted if total[label] > 0}


def mean(per_label: dict[int, float]) -> float:
    """The mean over labels, each with equal weight; NaN where there is none."""
    return sum(per_label.values()) / len(per_label) if per_label else float("nan")


def _counts(labels: Tensor) -> dict[int, int]:
    values, counts = torch.unique(labels, return_counts=True)
    return {int(v): int(n) for v, n in zip(values.tolist(), counts.tolist(), strict=True)}
