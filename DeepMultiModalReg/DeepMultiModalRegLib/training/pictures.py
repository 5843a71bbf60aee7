"""Sheets of pictures that show what a network does: a person sees a wrong sign or painted anatomy at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from ..methods.base import Method
from ..networks.warp import identity, warp
from .pairs import Pair


@torch.no_grad()
def pair_sheet(method: Method, pairs: list[Pair], path: Path, most: int = 8) -> None:
    """A row a pair, its middle slice: fixed, moving, warped, translated, checkerboard of fixed and warped, warped
    lattice."""
    step = max(1, len(pairs) // most)
    rows = []
    for pair in pairs[::step][:most]:
        output = method(pair.fixed, pair.moving, translate=True)
        u = output.displacement
        warped = warp(pair.moving, u)
        translated = pair.moving if output.translated is None else output.translated
        columns = [
            pair.fixed,
            pair.moving,
            warped,
            translated,
            checkerboard(pair.fixed, warped),
            warp(lattice(pair.fixed), u),
        ]
        rows.append(torch.cat([_canvas(_middle(c).cpu()) for c in columns], 1))
    sheet = (torch.cat(rows, 0).clamp(0, 1) * 255).byte().numpy()
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(sheet)), str(path))


def checkerboard(a: Tensor, b: Tensor, size: int = 10) -> Tensor:
    """Squares of `size` voxels taken in turn from a and b."""
    index = identity(tuple(a.shape[2:]), a.device)
    odd = (index // size).sum(-1, keepdim=True).movedim(-1, 1) % 2
    return torch.where(odd.bool(), a, b)


def lattice(like: Tensor, step: int = 6) -> Tensor:
    """Bright lines every `step` voxels along the first two axes, to be warped."""
    index = identity(tuple(like.shape[2:]), like.device)[..., :2]
    return ((index % step) < 1).any(-1, keepdim=True).movedim(-1, 1).float()


def _middle(x: Tensor) -> Tensor:
    return x[0, 0, x.shape[2] // 2] if x.dim() == 5 else x[0, 0]


def _canvas(x: Tensor, size: int = 132) -> Tensor:
    out = torch.zeros(size, size)
    out[: min(size, x.shape[0]), : min(size, x.shape[1])] = x[:size, :size].float()
    return out
