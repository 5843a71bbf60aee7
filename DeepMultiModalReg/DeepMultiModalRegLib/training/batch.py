"""Training pairs side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .pairs import Pair


@dataclass
class Batch:
    """fixed, moving: (N, 1, *shape). fixed_members, moving_members: (N, L, *shape) memberships of L drawn labels, or
    None.
    truth: (N, D, *shape) voxels and has_truth: (N,) whether it is known for each pair. backward: (N,) whether the
    moving image's modality is the one whose name comes second.
    """

    fixed: Tensor
    moving: Tensor
    fixed_members: Tensor | None
    moving_members: Tensor | None
    truth: Tensor
    has_truth: Tensor
    backward: Tensor

    def to(self, device: torch.device) -> Batch:
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return Batch(**{k: v if v is None else v.to(device, non_blocking=True) for k, v in moved.items()})

    def both_ways(self) -> Batch:
        """Every pair and its mirror image with fixed and moving exchanged; the field back is not known."""
        return Batch(
            torch.cat([self.fixed, self.moving]),
            torch.cat([self.moving, self.fixed]),
            None if self.fixed_members is None else torch.cat([self.fixed_members, self.moving_members]),
            None if self.moving_members is None else torch.cat([self.moving_members, self.fixed_members]),
            torch.cat([self.truth, torch.zeros_like(self.truth)]),
            torch.cat([self.has_truth, torch.zeros_like(self.has_truth)]),
            torch.cat([self.backward, ~self.backward]),
        )


def collate(pairs: list[Pair], labels: int, generator: torch.Generator, least_voxels: int = 10) -> Batch:
    """Pairs of one shape to a Batch with `labels` label memberships each, drawn from those that both images show.

    A pair without labels, or with fewer, has empty memberships, on which soft Dice is exactly 1.
    """
    dimension = pairs[0].fixed.dim() - 2
    members = [_members(p, labels, generator, least_voxels) for p in pairs]
    any_labels = any(m is not None for m in members)
    shape = pairs[0].fixed.shape[2:]
    empty = torch.zeros(1, labels, *shape)
    return Batch(
        torch.cat([p.fixed for p in pairs]),
        torch.cat([p.moving for p in pairs]),
        torch.cat([empty if m is None else m[0] for m in members]) if any_labels else None,
        torch.cat([empty if m is None else m[1] for m in members]) if any_labels else None,
        torch.cat([torch.zeros(1, dimension, *shape) if p.truth is None else p.truth for p in pairs]),
        torch.tensor([p.truth is not None for p in pairs]),
        torch.tensor([p.modalities[1] > p.modalities[0] for p in pairs]),
    )


def _members(pair: Pair, labels: int, generator: torch.Generator, least: int) -> tuple[Tensor, Tensor] | None:
    if pair.fixed_labels is None:
        return None
    counts = [torch.bincount(x.long().flatten(), minlength=1) for x in (pair.fixed_labels, pair.moving_labels)]
    n = min(c.numel() for c in counts)
    shared = ((counts[0][:n] >= least) & (counts[1][:n] >= least)).nonzero()[:, 0]
    shared = shared[shared > 0]
    if shared.numel() == 0:
        return None
    chosen = shared[torch.randperm(shared.numel(), generator=generator)[:labels]]
    if chosen.numel() < labels:  # -1 matches nothing
        chosen = torch.cat([chosen, torch.full((labels - chosen.numel(),), -1)])
    values = chosen.float().reshape(1, -1, *[1] * (pair.fixed.dim() - 2))
    return (pair.fixed_labels == values).float(), (pair.moving_labels == values).float()
