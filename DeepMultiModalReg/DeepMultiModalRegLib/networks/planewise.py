"""A 2D translator on volumes: slice by slice in three planes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Planewise(nn.Module):
    """The mean of a 2D network's answers on the axial, coronal and sagittal slices of (N, 1, K, J, I) volumes.

    Lattices lie along LPS with I, J, K ascending, so each slice is as upright as in training.pairs.PLANES.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor, *arguments) -> Tensor:
        total = torch.zeros_like(volume, dtype=torch.float32)
        for axis in (2, 3, 4):
            slices = volume.movedim(axis, 1)  # (N, slices, 1, rows, columns)
            out = self.network(slices.flatten(0, 1), *arguments)
            total = total + out.float().unflatten(0, slices.shape[:2]).movedim(1, axis)
        return total / 3
