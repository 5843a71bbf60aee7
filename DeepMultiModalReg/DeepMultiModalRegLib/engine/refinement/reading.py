"""Reading many channels between voxels at once: rows of a table, eight neighbours weighted."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.parallel import each

CHUNK = 1 << 16  # voxels whose neighbours and weights are held at once: they stay in the processor's cache


def positions(displacement: Tensor, first: tuple[int, ...] | None = None) -> Tensor:
    """(N, D, *shape) voxels to (N, D, *shape) index positions I, J(, K); first: the tensor index (K, J, I) of the voxel
    that comes first, for a part of a lattice."""
    out = displacement.clone()
    for axis, n in enumerate(reversed(displacement.shape[2:])):
        start = 0 if first is None else first[-1 - axis]
        line = torch.arange(start, start + n, dtype=out.dtype, device=out.device)
        out[:, axis] += line.reshape(-1, *([1] * axis))
    return out


def read_rows(table: Tensor, displacement: Tensor) -> Tensor:
    """`read_at` each voxel plus `displacement` (N, D, *shape), in voxels I, J(, K)."""
    return read_at(table, positions(displacement))


def read_at(table: Tensor, place: Tensor) -> Tensor:
    """A channels-last image between its voxels, linearly, the border held outside.

    table: (N, *shape, C), float16, bfloat16 or float32; place: (N, D, *any) float32, index positions I, J(, K).
    Returns (N, *any, C) in the table's type. Ten times faster on a CPU than grid_sample with as many channels: a row
    is contiguous, and all eight are summed in one pass.
    """
    n, *shape, c = table.shape
    d, wanted = len(shape), place.shape[2:]
    place = place.movedim(1, 0).reshape(d, -1)
    points, voxels = place.shape[1] // n, _product(shape)
    rows = table.reshape(-1, c)
    strides = [_product(shape[d - axis :]) if shape[d - 1 - axis] > 1 else 0 for axis in range(d)]
    corners = torch.tensor(
        [sum(s * b for s, b in zip(strides, corner, strict=True)) for corner in product((0, 1), repeat=d)],
        dtype=torch.int32, device=table.device,
    )  # fmt: skip
    out = torch.empty((place.shape[1], c), dtype=table.dtype, device=table.device)
    chunk = CHUNK if table.device.type == "cpu" else max(1, place.shape[1])

    def piece(first: int) -> None:
        last = min(place.shape[1], first + chunk)
        base = torch.arange(first, last, dtype=torch.int32, device=table.device)
        base = base // points * voxels  # where the point's image begins
        shares = []
        for axis, size in enumerate(reversed(shape)):
            x = place[axis, first:last].clamp(0, size - 1)
            low = x.floor().clamp_(max=max(0, size - 2))
            shares.append(x.sub_(low))
            base.add_(low.int(), alpha=strides[axis])
        weight = _corner_weights(shares, table.dtype)
        out[first:last] = F.embedding_bag(base[:, None] + corners, rows, per_sample_weights=weight, mode="sum")

    each(piece, range(0, place.shape[1], chunk))
    return out.reshape(n, *wanted, c)


def _corner_weights(shares: list[Tensor], dtype: torch.dtype) -> Tensor:
    """(V, 2 ** D) of `dtype`: the first axis's corner changes slowest, as itertools.product."""
    parts = [1 - shares[0], shares[0]]
    for share in shares[1:-1]:
        rest = 1 - share
        parts = [part * side for part in parts for side in (rest, share)]
    rest = 1 - shares[-1]
    out = torch.empty((len(rest), 2 * len(parts)), dtype=dtype, device=rest.device)
    for number, part in enumerate(parts):  # a column at a time: products of broadcasted stacks take ten times longer
        out[:, 2 * number] = part * rest
        out[:, 2 * number + 1] = part * shares[-1]
    return out


def _product(shape: list[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
