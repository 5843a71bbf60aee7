"""Interpolation at index positions: the one place where voxels are read between their centres."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sample(tensor: Tensor, index: Tensor, mode: str = "linear", fill: float | None = 0.0) -> Tensor:
    """Reads `tensor` (C, *shape) at `index` (*out, D), index positions ordered I, J(, K). Returns (C, *out).

    Linear interpolation holds the border's value for half a voxel beyond the outermost centres and gives `fill`
    further out, which is ITK's rule for linear and nearest; fill None holds the border's value everywhere.
    A float index grid is used in its own precision; the result has the tensor's dtype if floating, else float32
    (linear) or the tensor's own (nearest).
    """
    kept = tensor.dtype
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.float64 if kept in (torch.int32, torch.int64) else torch.float32)
    elif tensor.dtype in (torch.float16, torch.bfloat16) and tensor.device.type == "cpu":
        tensor = tensor.float()
    size = torch.tensor(tensor.shape[:0:-1], dtype=index.dtype, device=index.device)
    # align_corners=False coordinates stay meaningful for an axis of one voxel, where align_corners=True has none
    normal = torch.addcmul(1 / size - 1, index, 2 / size)  # (2 index + 1) / size - 1, in one pass
    out = F.grid_sample(
        tensor[None],
        normal[None].to(tensor.dtype),
        mode="bilinear" if mode == "linear" else "nearest",
        padding_mode="border",
        align_corners=False,
    )[0]
    if fill is not None:
        outside = ((index < -0.5) | (index > size - 0.5)).any(-1)
        out = out.masked_fill(outside, fill)
    if mode == "nearest" and out.dtype != kept:
        out = out.round().to(kept)
    return out
