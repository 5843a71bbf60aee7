"""Mutual information of grey levels, differentiable through linear Parzen windows."""

from __future__ import annotations

import torch
from torch import Tensor


def parzen(values: Tensor, bins: int) -> Tensor:
    """(N,) grey levels in [0, 1] to (N, bins) memberships that sum to one: a linear (first-order B-spline) window."""
    position = values.clamp(0, 1)[:, None] * (bins - 1)
    return (1 - (position - torch.arange(bins, device=values.device, dtype=values.dtype)).abs()).clamp(min=0)


def mutual_information(a: Tensor, b: Tensor, bins: int = 32, samples: int = 20000, generator=None) -> Tensor:
    """MI in nats of two images of the same shape with grey levels in [0, 1], the mean over the batch.

    a, b: (N, 1, *shape). MI = H(a) + H(b) - H(a, b), Mattes et al. 2003, with both windows linear so that both images
    carry a gradient. Of a large image `samples` voxels are drawn, from where at least one of both is not background:
    the empty corners, equal in both, would count as agreement. Not normalised: this is MI, not NMI.
    """
    total = a.new_zeros((), dtype=torch.float32)
    for x, y in zip(a.float().flatten(1), b.float().flatten(1), strict=True):
        where = ((x.detach() > 0.02) | (y.detach() > 0.02)).nonzero()[:, 0]
        if where.numel() < bins:
            continue
        if where.numel() > samples:
            where = where[torch.randint(where.numel(), (samples,), generator=generator, device=where.device)]
        joint = parzen(x[where], bins).T @ parzen(y[where], bins) / where.numel()
        independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        total = total + (joint * ((joint + 1e-8) / (independent + 1e-8)).log()).sum()
    return total / a.shape[0]
