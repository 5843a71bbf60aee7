"""A 2D network on volumes: slice by slice in three planes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

AXES = (2, 3, 4)  # along which slices are stacked: axial, coronal, sagittal


class Planewise(nn.Module):
    """The mean of a 2D network's answers on the axial, coronal and sagittal slices of (N, 1, K, J, I) volumes.

    Lattices lie along LPS with I, J, K ascending, so each slice is as upright as in training.pairs.PLANES.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor, *arguments) -> Tensor:
        return planes_mean(volume, lambda slices: self.network(slices, *arguments))


def planes_mean(volume: Tensor, answer: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, 1, K, J, I) to (N, C, K, J, I) float32: the mean over the three planes of `answer`, which takes slices
    (n, 1, rows, columns), volume by volume, to (n, C, rows, columns)."""
    total = None
    for axis in AXES:
        out = in_plane(answer(slices_along(volume, axis)), axis, volume.shape[0])
        total = out if total is None else total.add_(out)
    return total / len(AXES)


def slices_along(volume: Tensor, axis: int) -> Tensor:
    """(N, C, K, J, I) to (N * slices, C, rows, columns)."""
    return volume.movedim(axis, 1).flatten(0, 1)


def in_plane(slices: Tensor, axis: int, count: int) -> Tensor:
    """Back to (N, C, K, J, I), float32; count: N."""
    return slices.float().unflatten(0, (count, -1)).movedim(1, axis)
