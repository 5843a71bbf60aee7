"""Intensity normalisation: what the networks see instead of a scanner's numbers."""

from __future__ import annotations

import torch
from torch import Tensor

BRAIN_WINDOW = (0.0, 110.0)  # Hounsfield units: fat and air black, bone white, as CT of the head is printed
QUANTILE_SAMPLES = 1 << 15  # finds the range to a few thousandths; torch.quantile sorts all that it is given


def normalise(tensor: Tensor, low: float = 0.005, high: float = 0.995) -> Tensor:
    """Any real tensor to float32 in [0, 1]: robust range of the voxels above the background, clamped."""
    values = tensor.float()
    bottom, top = intensity_range(values, low, high)
    return ((values - bottom) / max(top - bottom, 1e-12)).clamp(0, 1)


def intensity_range(tensor: Tensor, low: float = 0.005, high: float = 0.995) -> tuple[float, float]:
    """The intensities that `normalise` sends to 0 and to 1.

    The lower end is the `low` quantile of all voxels; the upper end the `high` quantile of those above it, so that
    an image that is mostly background (a skull-stripped brain) is scaled like one that is not.
    """
    flat = subsample(tensor)
    bottom = torch.quantile(flat, low)
    above = flat[flat > bottom]
    top = torch.quantile(above, high) if above.numel() else bottom
    return bottom.item(), top.item()


def subsample(tensor: Tensor, count: int = QUANTILE_SAMPLES) -> Tensor:
    """(n,) float32: every so many-th voxel, so that about `count` remain. Regular, hence the same each time."""
    flat = tensor.reshape(-1)
    return flat[:: max(1, flat.numel() // count)].float()
