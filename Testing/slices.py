"""A tiny slice for tests of poses."""

from __future__ import annotations

import torch

from DeepMultiModalRegLib.training.deformation import middle_points

SLICE_SHAPE = (33, 29)


def pear(shift: float = 0.0) -> torch.Tensor:
    """(1, 1, *SLICE_SHAPE): a bright head with one bright eye, so that it looks alike from no two sides."""
    x = middle_points(SLICE_SHAPE, 1.0)
    body = (((x[..., 0] - shift) / 7).square() + (x[..., 1] / 10).square() < 1).float()
    eye = ((x[..., 0] - 3 - shift).square() + (x[..., 1] - 5).square() < 6).float()
    return (0.5 * body + 0.5 * eye)[None, None]
