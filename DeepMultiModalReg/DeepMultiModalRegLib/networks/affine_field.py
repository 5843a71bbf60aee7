"""The affine part of a field: the affine displacement nearest to it."""

from __future__ import annotations

import torch
from torch import Tensor

from .warp import identity


def affine_part(displacement: Tensor, weight: Tensor, inverse: bool = False) -> Tensor:
    """The affine displacement nearest to `displacement` in weighted least squares: (N, D, *shape) voxels to the same.

    weight: (N, 1, *shape) >= 0. inverse: that of the inverse affine map. Differentiable. In float32; where the weight
    is nearly nothing the answer is drawn to no displacement.
    """
    dimension = displacement.shape[1]
    shape = displacement.shape[2:]
    with torch.autocast(displacement.device.type, enabled=False):
        half = torch.tensor([(n - 1) / 2 for n in reversed(shape)], device=displacement.device)
        scale = half.max().clamp(min=1.0)
        x = (identity(tuple(shape), displacement.device) - half) / scale
        x = torch.cat([x, torch.ones_like(x[..., :1])], -1).flatten(0, -2)  # (M, D + 1)
        w = weight.float().flatten(1)
        w = w / w.sum(1, keepdim=True).clamp(min=1e-6)
        u = displacement.float().flatten(2)
        normal = torch.einsum("nm,mi,mj->nij", w, x, x) + 1e-5 * torch.eye(dimension + 1, device=x.device)
        right = torch.einsum("nm,mi,ndm->nid", w, x, u)
        found = torch.linalg.solve(normal, right)  # (N, D + 1, D)
        if inverse:
            still = torch.eye(dimension + 1, device=x.device)
            whole = still + torch.nn.functional.pad(found / scale, (0, 1))  # rows (x, 1) to rows (y, 1)
            found = (torch.linalg.inv(whole) - still)[..., :dimension] * scale
        return torch.einsum("mi,nid->ndm", x, found).reshape(displacement.shape)
