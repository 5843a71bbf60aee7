"""Foreground: which voxels show the body and which are background, in MR, CT, PET, skull-stripped or not."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Grid, Image
from .intensity import intensity_range, subsample

CT_BELOW = -500.0  # only CT (Hounsfield units) reaches this far below zero
CT_AIR = -1024.0  # padding outside a CT's field of view may lie lower; air does not
BINS = 256
SCAN_VOXELS = 1 << 19  # voxels looked at to find the foreground's box: enough to place it within a few millimetres


def threshold(tensor: Tensor) -> float:
    """The intensity above which a voxel counts as foreground.

    Half of Otsu's threshold (Otsu 1979) on the normalised range: Otsu alone cuts dark tissue off (fluid in T1, bone
    marrow in CT), half of it stays above the noise in the air of an MR image and far above the air of a CT.
    """
    bottom, top = intensity_range(tensor)
    if top <= bottom:
        return bottom
    values = ((subsample(tensor) - bottom) / (top - bottom)).clamp(0, 1)
    return bottom + 0.5 * _otsu(values) * (top - bottom)


def _otsu(values: Tensor) -> float:
    """Otsu's threshold of values in [0, 1]: it maximises the variance between the two classes."""
    count = torch.histc(values, BINS, 0.0, 1.0).double()
    level = (torch.arange(BINS, dtype=torch.float64, device=values.device) + 0.5) / BINS
    below = count.cumsum(0)
    mass = (count * level).cumsum(0)
    above = below[-1] - below
    valid = (below > 0) & (above > 0)
    difference = mass / below.clamp(min=1) - (mass[-1] - mass) / above.clamp(min=1)
    between = torch.where(valid, below * above * difference**2, torch.zeros_like(below))
    # clear-cut classes give a plateau of equal variance: its middle, not its first bin
    best = torch.nonzero(between >= between.max() * (1 - 1e-9)).flatten()
    return float((best.double().mean() + 1) / BINS) if between.max() > 0 else 0.5


def foreground(image: Image) -> Tensor:
    """(*shape) bool: the voxels above `threshold`."""
    return image.tensor[0] > threshold(image.tensor[0])


def thinned(image: Image, voxels: int = SCAN_VOXELS) -> Image:
    """Every n-th voxel along each axis, so that at most about `voxels` remain; placed where they lie in space.

    Axes are thinned in proportion to their fineness: thick slices are all kept.
    """
    grid = image.grid
    step = [1] * grid.dimension
    while _thinned_count(grid, step) > voxels:
        pitch = [s * n if size > n else float("inf") for s, n, size in zip(grid.spacing, step, grid.size, strict=True)]
        step[pitch.index(min(pitch))] += 1
    tensor = image.tensor[(slice(None), *(slice(None, None, n) for n in reversed(step)))]
    spacing = tuple(s * n for s, n in zip(grid.spacing, step, strict=True))
    return Image(tensor, Grid(tensor.shape[:0:-1], spacing, grid.origin, grid.direction))


def _thinned_count(grid: Grid, step: list[int]) -> int:
    total = 1
    for size, n in zip(grid.size, step, strict=True):
        total *= -(-size // n)
    return total


def background(image: Image) -> float:
    """The intensity that stands for 'nothing there': air in CT, zero or the dark border's value elsewhere."""
    voxels = image.tensor
    lowest = float(voxels.min())
    if lowest < CT_BELOW:
        return max(lowest, CT_AIR)
    if lowest >= 0:
        return 0.0
    faces = [voxels.select(axis, end).reshape(-1).float() for axis in range(1, voxels.ndim) for end in (0, -1)]
    border = float(torch.cat(faces).median())
    return border if border < threshold(voxels) else lowest
