"""Inputs: what a refinement sees of a pair on its lattice, and how much of it counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core import Affine, Image, Transform, resample
from ...core.grid import affine_points
from ...core.parallel import each
from ..body import covered
from ..foreground import threshold
from ..network import Pair
from ..working import Working
from .region import Region

PLANES = 16  # looked at together
MARGIN_MM, MARGIN_VOXELS = 4.0, 4  # around what is shown: MIND looks three voxels away


def seen_pair(pair: Pair, base: Transform, working: Working, rendered: Image | None, device) -> tuple[Tensor, Tensor]:
    """Both images on the working lattice, (N, 1, *shape) in [0, 1], the moving one through `base`."""
    # whole images: a mask's edge would look like anatomy; masks weigh instead
    seen = Pair(pair.fixed, pair.moving, None, None, pair.fixed_fill, pair.moving_fill).on(working, base)
    moving = seen.moving
    if rendered is not None:
        bottom, top = seen.fixed_range
        moving = resample(rendered, working.grid, None, "linear", pair.fixed_fill).tensor
        moving = ((moving - bottom) / max(top - bottom, 1e-12)).clamp(0, 1)
    return working.batch(seen.fixed).to(device), working.batch(moving).to(device)


def weights(pair: Pair, base: Transform, working: Working, device) -> tuple[Tensor | None, Tensor | None]:
    """How much the fixed and the moving voxels count, (N, *shape) float32 on the finest feature lattice; None: all."""
    out = []
    for image, mask, transform in (
        (pair.fixed, pair.fixed_mask, Affine.identity(pair.fixed.grid.dimension)), (pair.moving, pair.moving_mask, base)
    ):  # fmt: skip
        if mask is None and isinstance(transform, Affine) and _holds(image, transform, working):
            out.append(None)
            continue
        inside = _inside(image, transform, working)
        if mask is not None:
            inside = inside & mask.on(working.grid, transform)
        whole = bool(inside.all())
        out.append(None if whole else working.batch(inside[None].float())[:, 0].contiguous().to(device))
    return out[0], out[1]


def shown(fixed: Tensor, moving: Tensor, spacing: float) -> Region:
    """Where one of two volumes (K, J, I), `spacing` mm a voxel, shows more than its background, and a margin."""
    either = (fixed > threshold(fixed)) | (moving > threshold(moving))
    return Region.of(either.cpu(), max(MARGIN_VOXELS, math.ceil(MARGIN_MM / spacing)))


def _inside(image: Image, transform: Transform, working: Working) -> Tensor:
    """(*shape) bool: which voxels of the lattice lie in the image."""
    grid = working.grid
    if not isinstance(transform, Affine):
        return covered(image.grid, transform.points(grid.points(torch.float32)))
    matrix = image.grid.inverse_matrix @ transform.matrix @ grid.matrix
    end = torch.tensor(image.grid.size) - 0.5

    def plane(first: int) -> Tensor:
        index = affine_points(matrix, (min(PLANES, grid.shape[0] - first), *grid.shape[1:]), first=first)
        return ((index >= -0.5) & (index <= end)).all(-1)

    return torch.cat(each(plane, range(0, grid.shape[0], PLANES)))


def _holds(image: Image, transform: Affine, working: Working) -> bool:
    """Whether the whole lattice lies in the image: it does where its corners do."""
    return bool(covered(image.grid, transform.points(working.grid.corners())).all())
