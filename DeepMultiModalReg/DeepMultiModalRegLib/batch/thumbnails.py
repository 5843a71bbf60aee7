"""Thumbnails: fixed image and another in squares, in three planes: what does not fit breaks at the squares' edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core import Grid, Image, resample
from ..core.image import reoriented_grid
from ..engine.foreground import foreground, thinned
from ..engine.intensity import intensity_range

SIDE = 160  # pixels of a plane
SQUARES = 8  # along a side
GAP = 4
BRIGHT = 0.97  # quantile of what is not background that is shown white: fat under the skin would leave the rest dark
# directions to the right and down, LPS, as a radiologist looks: axial, coronal, sagittal
_PLANES = (((1, 0, 0), (0, 1, 0)), ((1, 0, 0), (0, 0, -1)), ((0, 1, 0), (0, 0, -1)))


def checkerboards(fixed: Image, other: Image) -> np.ndarray:
    """(SIDE, width) uint8: axial, coronal and sagittal plane through the middle of the fixed image's foreground, or the
    2D image. `other` lies in the fixed image's space, on any lattice."""
    middle, width = _looked_at(fixed)
    index = torch.arange(SIDE) * SQUARES // SIDE
    odd = (index[:, None] + index[None]) % 2 == 1
    ranges = [intensity_range(image.tensor, high=BRIGHT) for image in (fixed, other)]
    pictures = []
    for plane in _planes(fixed.grid, middle, width):
        a, b = (_grey(image, plane, limits) for image, limits in zip((fixed, other), ranges, strict=True))
        pictures += [torch.where(odd, b, a), torch.full((SIDE, GAP), 1.0)]
    return (torch.cat(pictures[:-1], 1) * 255).round().to(torch.uint8).numpy()


def _looked_at(fixed: Image) -> tuple[Tensor, float]:
    """LPS mm of the foreground's middle, and a width in mm that holds it and something around."""
    sparse = thinned(fixed, 1 << 16)
    grid = sparse.grid
    index = torch.nonzero(foreground(sparse)).flip(-1).double()
    d = grid.dimension
    if len(index) < 2:
        return fixed.grid.centre, float(fixed.grid.extent.max())
    points = index @ grid.matrix[:d, :d].T + grid.matrix[:d, d]
    low, high = (torch.quantile(points, q, dim=0, interpolation="nearest") for q in (0.005, 0.995))
    return (low + high) / 2, 1.1 * max(float((high - low).max()), 4 * min(fixed.grid.spacing))


def _planes(grid: Grid, middle: Tensor, width: float) -> list[Grid]:
    pitch = width / SIDE
    if grid.dimension == 2:
        upright = reoriented_grid(grid)  # an oblique picture is shown as it was taken
        axes = torch.tensor(upright.direction, dtype=torch.float64).reshape(2, 2)
        return [_plane(axes[:, 0], axes[:, 1], middle, pitch)]
    return [
        _plane(*(torch.tensor(axis, dtype=torch.float64) for axis in plane), middle, pitch) for plane in _PLANES
    ]


def _plane(right: Tensor, down: Tensor, middle: Tensor, pitch: float) -> Grid:
    origin = middle - (right + down) * pitch * (SIDE - 1) / 2
    if len(right) == 2:
        return Grid((SIDE, SIDE), (pitch, pitch), tuple(origin.tolist()), _direction(right, down))
    through = torch.linalg.cross(right, down)
    return Grid((SIDE, SIDE, 1), (pitch,) * 3, tuple(origin.tolist()), _direction(right, down, through))


def _direction(*axes: Tensor) -> tuple[float, ...]:
    return tuple(torch.stack(axes, 1).flatten().tolist())


def _grey(image: Image, plane: Grid, limits: tuple[float, float]) -> Tensor:
    bottom, top = limits
    values = resample(image.with_tensor(image.tensor[:1].float()), plane, None, "linear", bottom)
    return ((values.tensor.reshape(SIDE, SIDE) - bottom) / max(top - bottom, 1e-12)).clamp(0, 1)
