"""Distances between the surfaces of labels, in mm."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk
from torch import Tensor

from ..core import Grid, InputError


def hausdorff95(a: Tensor, b: Tensor, grid: Grid, labels: list[int]) -> dict[int, float]:
    """The 95 % Hausdorff distance in mm per label of two integer maps (*grid.shape) on one lattice.

    The surface of a label is its voxels with a face neighbour outside it; both directed 95th percentiles of the
    distance from a surface voxel to the nearest one of the other are taken and the larger is given (as MONAI does).
    Distances are exact Euclidean ones between voxel centres (Maurer et al. 2003) on the lattice's spacing, whatever its
    directions, as long as its axes are orthogonal. A label that one map lacks has infinity, that both lack is left out.
    """
    if tuple(a.shape) != grid.shape or tuple(b.shape) != grid.shape:
        raise InputError("The label maps do not fit the lattice; resample both on it first.")
    first, second = a.cpu().numpy(), b.cpu().numpy()
    result: dict[int, float] = {}
    for label in labels:
        masks = first == label, second == label
        held = [bool(m.any()) for m in masks]
        if all(held):
            result[label] = _hausdorff95(*_cropped(*masks), grid.spacing)
        elif any(held):
            result[label] = math.inf
    return result


def _cropped(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks within the box that holds them, one voxel of background around."""
    either = a | b
    box = []
    for axis in range(either.ndim):
        used = np.flatnonzero(either.any(axis=tuple(k for k in range(either.ndim) if k != axis)))
        box.append(slice(used[0], used[-1] + 1))
    return np.pad(a[tuple(box)], 1), np.pad(b[tuple(box)], 1)


def _hausdorff95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> float:
    surfaces = _surface(a), _surface(b)
    to_a, to_b = (_distance(s, spacing) for s in surfaces)
    return float(max(np.percentile(to_b[surfaces[0]], 95), np.percentile(to_a[surfaces[1]], 95)))


def _surface(mask: np.ndarray) -> np.ndarray:
    """The mask's voxels that have a face neighbour outside it; the mask must not touch the array's border."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return mask & ~inner


def _distance(surface: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    picture = sitk.GetImageFromArray(surface.astype(np.uint8))
    picture.SetSpacing(spacing)
    distance = sitk.SignedMaurerDistanceMap(
        picture, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    # every surface voxel is its own boundary only where the surface is one voxel thick: inside ones count as 0
    return np.maximum(sitk.GetArrayFromImage(distance), 0.0)
