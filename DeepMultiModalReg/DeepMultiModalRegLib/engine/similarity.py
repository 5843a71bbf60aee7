"""Similarity: normalised mutual information of two images, as a figure for the report (not a loss)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Image, Transform, resample
from .foreground import foreground, thinned
from .intensity import intensity_range, normalise

BINS = 32
SAMPLES = 1 << 18


def nmi(a: Tensor, b: Tensor, bins: int = BINS) -> float:
    """(H(a) + H(b)) / H(a, b) of paired samples in [0, 1], from a histogram: 1 independent, 2 one determines the other.

    Studholme, Hill and Hawkes 1999.
    """
    joint_bin = _bin(a, bins) * bins + _bin(b, bins)
    joint = torch.bincount(joint_bin, minlength=bins * bins).double().reshape(bins, bins)
    if joint.sum() == 0:
        return 1.0
    joint = joint / joint.sum()
    both = _entropy(joint)
    return (_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / both if both > 0 else 1.0


def _bin(values: Tensor, bins: int) -> Tensor:
    return (values.flatten() * bins).long().clamp(0, bins - 1)


def _entropy(p: Tensor) -> float:
    p = p[p > 0]
    return float(-(p * p.log()).sum())


class Similarity:
    """NMI of a pair under any transform, always over the same voxels: the fixed image's foreground."""

    def __init__(self, fixed: Image, moving: Image, fill: float) -> None:
        """fixed and moving: one channel each; fill: the moving image's background."""
        self._moving = moving
        self._fill = fill
        self._range = intensity_range(moving.tensor)
        sparse = thinned(fixed, SAMPLES)
        self._grid = sparse.grid
        self._inside = foreground(sparse).flatten()
        self._fixed = normalise(sparse.tensor).flatten()[self._inside]

    def __call__(self, transform: Transform | None) -> float:
        warped = resample(self._moving, self._grid, transform, "linear", self._fill).tensor.flatten()
        bottom, top = self._range
        return nmi(self._fixed, (warped[self._inside] - bottom) / max(top - bottom, 1e-12))
