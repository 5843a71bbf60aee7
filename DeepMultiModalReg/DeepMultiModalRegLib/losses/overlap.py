"""Overlap of labels, differentiable."""

from __future__ import annotations

from torch import Tensor


def soft_dice_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - mean soft Dice of two stacks of label memberships (N, L, *shape) in [0, 1]; Balakrishnan et al. 2019, eq.
    10."""
    a, b = a.flatten(2), b.flatten(2)
    return 1 - ((2 * (a * b).sum(-1) + 1) / (a.sum(-1) + b.sum(-1) + 1)).mean()
