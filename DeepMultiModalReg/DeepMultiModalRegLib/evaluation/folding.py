"""How regular a transform is: folds and the spread of its volume change."""

from __future__ import annotations

import math

from torch import Tensor

from ..core import Grid, Transform, jacobian_determinant


def folding(transform: Transform, grid: Grid, mask: Tensor | None = None) -> dict[str, float]:
    """{"folds", "log_jacobian_sd"} over the voxels of `grid` inside `mask` (*grid.shape, bool).

    folds: percent of voxels with a determinant <= 0. log_jacobian_sd: the standard deviation of ln(det) over the
    others: 0 for an affine transform, larger the more unevenly it stretches.
    """
    determinant = jacobian_determinant(transform, grid)
    values = determinant.flatten() if mask is None else determinant[mask]
    positive = values[values > 0]
    return {
        "folds": 100.0 * (values <= 0).double().mean().item(),
        "log_jacobian_sd": positive.double().log().std(correction=0).item() if positive.numel() else math.nan,
    }
