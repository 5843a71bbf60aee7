"""A barrier that keeps mutual information above a threshold (INNReg, Guo et al., ECCV 2024)."""

from __future__ import annotations

import torch
from torch import Tensor


def information_barrier(information: Tensor, threshold: float, width: float = 0.05) -> Tensor:
    """-log(information - threshold), in nats, continued below threshold + width by its tangent.

    The paper's logarithm is not a number where the information is less than the threshold, as it is before training;
    the tangent is finite there, grows the further below, and meets the logarithm with the same value and slope
    (the extended barrier of Kervadec et al. 2022). information: of any shape; returns the same shape.
    """
    above = information - threshold
    tangent = -(above - width) / width - torch.log(torch.as_tensor(width, dtype=above.dtype, device=above.device))
    return torch.where(above > width, -torch.log(above.clamp(min=width)), tangent)


def scheduled(start: float, end: float, share: float) -> float:
    """The threshold after `share` of the training: from start evenly up to end over the first half."""
    return start + (end - start) * min(1.0, 2 * share)
