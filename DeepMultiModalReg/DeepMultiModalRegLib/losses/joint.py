"""Mutual information from a joint histogram whose gradient is read from a table: what a pose is optimised by."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-7  # of a probability, before its logarithm is taken


def joint_information(fixed_bin: Tensor, moving: Tensor, weight: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """(mutual information in nats, surrogate), each (B,): of B pairings of the same N fixed samples.

    fixed_bin: (N,) int64 in [0, bins). moving: (B, N) grey levels in [0, 1], with or without a gradient. weight:
    (B, N) >= 0, how much a pair counts, held constant. Windows as in Mattes et al. 2003: of order zero for the fixed
    grey level; linear for the moving one, then both spread to their neighbours by (1, 2, 1) / 4, which takes the
    corners off the linear window. The surrogate's gradient with respect to `moving` is that of the information at
    fixed weights: d MI / d m_i = w_i / W times the slope of log(p(f, m) / p(f) p(m)) along m, a difference of two
    entries of a table.
    """
    position, low = _place(moving, bins)
    information, here, slope = _looked_up(fixed_bin, low, position.detach() - low, weight, bins)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-12)
    return information, (weight * (here + (position - low) * slope)).sum(1)


def information_table(fixed_bin: Tensor, moving: Tensor, weight: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """(mutual information (B,), slope (B, N)): the latter of log(p(f, m) / p(f) p(m)) along m, per bin, at each
    sample. Arguments as for `joint_information`."""
    with torch.no_grad():
        position, low = _place(moving, bins)
        information, _, slope = _looked_up(fixed_bin, low, position - low, weight, bins)
    return information, slope


def _place(moving: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Where among the bins each grey level lies, and the bin below."""
    position = moving.float().clamp(0, 1) * (bins - 1)
    return position, position.detach().floor().clamp(max=bins - 2)


@torch.no_grad()
def _looked_up(fixed_bin: Tensor, low: Tensor, share: Tensor, weight: Tensor, bins: int):
    """Information (B,), and at each sample the table's entry at the bin below and the step to the next."""
    batch = low.shape[0]
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-12)
    cell = (torch.arange(batch, device=low.device)[:, None] * bins + fixed_bin) * bins + low.long()
    joint = _counted(cell, weight * (1 - share), batch * bins * bins)
    joint += _counted(cell + 1, weight * share, batch * bins * bins)
    joint = _spread(joint.reshape(batch, bins, bins))
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    table = ((joint + FLOOR) / (independent + FLOOR)).log()
    information = (joint * table).sum((1, 2))
    table = _spread(table).flatten()
    return information, table[cell], table[cell + 1] - table[cell]


def _counted(cell: Tensor, weight: Tensor, cells: int) -> Tensor:
    return torch.bincount(cell.flatten(), weight.flatten(), cells).float()


def _spread(table: Tensor) -> Tensor:
    """(1, 2, 1) / 4 along both axes of (B, bins, bins), the border's share kept inside: its own adjoint."""
    for axis in (1, 2):
        n = table.shape[axis]
        inner = 0.5 * table
        inner.narrow(axis, 1, n - 1).add_(table.narrow(axis, 0, n - 1), alpha=0.25)
        inner.narrow(axis, 0, n - 1).add_(table.narrow(axis, 1, n - 1), alpha=0.25)
        inner.narrow(axis, 0, 1).add_(table.narrow(axis, 0, 1), alpha=0.25)
        inner.narrow(axis, n - 1, 1).add_(table.narrow(axis, n - 1, 1), alpha=0.25)
        table = inner
    return table
