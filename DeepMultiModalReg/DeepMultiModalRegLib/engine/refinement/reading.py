"""Reading many channels between voxels at once: rows of a table, eight neighbours weighted."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 1 << 16  # voxels whose neighbours and weights are held at once: they stay in the processor's cache


def positions(displacement: Tensor) -> Tensor:
    """(N, D, *shape) voxels to (N, D, *shape) index positions I, J(, K)."""
    shape = displacement.shape[2:]
    d = len(shape)
    out = displacement.clone()
    for axis, n in enumerate(reversed(shape)):
        line = torch.arange(n, dtype=out.dtype, device=out.device)
        out[:, axis] += line.reshape(-1, *([1] * axis))
    assert out.shape[1] == d
    return out


def read_rows(table: Tensor, displacement: Tensor) -> Tensor:
    """A channels-last image read at each voxel plus `displacement`, linearly, the border held outside.

    table: (N, *shape, C), float16, bfloat16 or float32; displacement: (N, D, *shape) float32, voxels I, J(, K).
    Returns (N, *shape, C) in the table's type. Ten times faster on a CPU than grid_sample with as many channels: a row
    is contiguous, and all eight are summed in one pass.
    """
    n, *shape, c = table.shape
    d = len(shape)
    place = positions(displacement).movedim(1, 0).reshape(d, -1)
    rows = table.reshape(-1, c)
    strides = [_product(shape[d - axis :]) if shape[d - 1 - axis] > 1 else 0 for axis in range(d)]
    corners = torch.tensor(
        [sum(s * b for s, b in zip(strides, corner, strict=True)) for corner in product((0, 1), repeat=d)],
        dtype=torch.int32, device=table.device,
    )  # fmt: skip
    out = torch.empty((place.shape[1], c), dtype=table.dtype, device=table.device)
    chunk = CHUNK if table.device.type == "cpu" else place.shape[1]
    for first in range(0, place.shape[1], chunk):
        last = min(place.shape[1], first + chunk)
        base = torch.arange(first, last, dtype=torch.int32, device=table.device)
        base -= base % _product(shape)  # where the voxel's image begins
        shares = []
        for axis, size in enumerate(reversed(shape)):
            x = place[axis, first:last].clamp(0, size - 1)
            low = x.floor().clamp_(max=max(0, size - 2))
            shares.append(x.sub_(low))
            base.add_(low.int(), alpha=strides[axis])
        weight = _corner_weights(shares, table.dtype)
        out[first:last] = F.embedding_bag(base[:, None] + corners, rows, per_sample_weights=weight, mode="sum")
    return out.reshape(n, *shape, c)


def _corner_weights(shares: list[Tensor], dtype: torch.dtype) -> Tensor:
    """(V, 2 ** D) of `dtype`: the first axis's corner changes slowest, as itertools.product."""
    total = torch.stack([1 - shares[0], shares[0]], 1)
    for share in shares[1:-1]:
        total = (total[:, :, None] * torch.stack([1 - share, share], 1)[:, None]).flatten(1)
    out = torch.empty((*total.shape, 2), dtype=dtype, device=total.device)
    torch.mul(total[:, :, None], torch.stack([1 - shares[-1], shares[-1]], 1)[:, None], out=out)
    return out.flatten(1)


def _product(shape: list[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
