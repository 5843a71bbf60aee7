"""Pairs with a fine pattern, of two contrasts, under a field that is known."""

from __future__ import annotations

import torch
from fakes import phantom
from lattices import smooth_field

from DeepMultiModalRegLib.core import Image, resample


def textured(grid) -> Image:
    """The phantom with a fine pattern inside: on smooth balls a point could slide along its surface unseen."""
    lump = phantom(grid)
    pattern = torch.randn(1, 1, *grid.shape, generator=torch.Generator().manual_seed(7))
    pool = torch.nn.functional.avg_pool3d if grid.dimension == 3 else torch.nn.functional.avg_pool2d
    for _ in range(2):
        pattern = pool(pattern, 3, 1, 1)
    return lump.with_tensor(lump.tensor * (1 + 0.4 * (pattern[0] / pattern.std()).clamp(-2, 2)).clamp(min=0))


def warped_pair(grid, size_mm: float = 3.0):
    """(fixed, moving, truth): the fixed image is the other contrast of the moving one, under a known field."""
    moving, truth = textured(grid), smooth_field(grid, size_mm)
    seen = resample(moving, grid, truth)
    # another modality: a grey scale that rises and falls
    return seen.with_tensor((seen.tensor * (1500 - seen.tensor)).clamp(min=0) / 600), moving, truth
