"""Intensity normalisation: what the networks see instead of a scanner's numbers."""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILE_SAMPLES = 1 << 20  # torch.quantile refuses more than 16 M values; a regular subsample changes little


def normalise(tensor: Tensor, low: float = 0.005, high: float = 0.995) -> Tensor:
    """Any real tensor to float32 in [0, 1]: robust range of the voxels above the background, clamped.

    The lower end is the `low` quantile of all voxels; the upper end the `high` quantile of those above it, so that
    an image that is mostly background (a skull-stripped brain) is scaled like one that is not.
    """
    values = tensor.float()
    flat = values.flatten()
    flat = flat[:: max(1, flat.numel() // QUANTILE_SAMPLES)]
    bottom = torch.quantile(flat, low)
    above = flat[flat > bottom]
    top = torch.quantile(above, high) if above.numel() else bottom
    return ((values - bottom) / (top - bottom).clamp(min=1e-12)).clamp(0, 1)
