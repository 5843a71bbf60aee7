"""Report: what was done, with what, how long it took and how it turned out; JSON-able."""

from __future__ import annotations

import platform

import numpy
import torch

from .. import __version__
from ..core import Affine, Composite, DenseField, Grid, Image, Transform, jacobian_determinant, split
from ..core.parallel import each
from .device import Precision, device_name
from .memory import peak_megabytes

SLAB_VOXELS = 500_000  # of the Jacobian at once: its nine derivatives are nine times as much


def versions() -> dict[str, str]:
    return {
        "DeepMultiModalReg": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": platform.platform(),
    }


def machine(precision: Precision) -> dict:
    return {
        "device": str(precision.device),
        "device_name": device_name(precision.device),
        "precision": precision.name,
        "threads": torch.get_num_threads(),
    }


def memory(precision: Precision) -> dict[str, float]:
    """Peak memory in MB."""
    return peak_megabytes(precision.device)


def start_in_words(
    start: str | Transform, transform: Transform, network: dict | None = None, stacked: bool = False
) -> dict:
    """How the first alignment was made and what came out; network: what the network that made it had to say; stacked:
    whether an affine alignment of the volumes followed (engine.stack)."""
    dense, affine = split(transform, transform.dimension)
    return {
        "kind": "given" if isinstance(start, Transform) else start,
        "matrix": affine.matrix.tolist(),
        "field": dense is not None,
        **({"then": "affine"} if stacked else {}),
        **({"network": network} if network else {}),
    }


def fold_percent(transform: Transform, grid: Grid) -> float:
    """Percent of the grid's voxels whose Jacobian determinant is not positive; in slabs, so that memory stays small."""
    if isinstance(transform, Affine):
        return 0.0 if torch.linalg.det(transform.linear) > 0 else 100.0
    dense, affine = split(transform, grid.dimension)
    whole = dense is not None and dense.field.grid.same_as(grid)
    planes = grid.shape[0]
    rows = max(1, SLAB_VOXELS * planes // grid.voxels)

    def slab(first: int) -> int:
        last = min(planes, first + rows)
        low, high = max(0, first - 1), min(planes, last + 1)  # one plane beyond each side for central differences
        start = (0,) * (grid.dimension - 1) + (low,)
        part = grid.cropped(start, (*grid.size[:-1], high - low))
        seen = transform
        if whole:  # the slab's own voxels: nothing to interpolate
            seen = Composite(DenseField(Image(dense.field.tensor[:, low:high], part)), affine)
        determinant = jacobian_determinant(seen, part)[first - low : last - low]
        return int((determinant <= 0).sum())

    return 100.0 * sum(each(slab, range(0, planes, rows))) / grid.voxels


def displacement_in_mm(transform: Transform, grid: Grid) -> dict[str, float]:
    """Length of the dense part on the grid: {"mean", "max"} mm."""
    dense, _ = split(transform, grid.dimension)
    if dense is None:
        return {"mean": 0.0, "max": 0.0}
    length = sum(u.square() for u in dense.displacement(grid)).sqrt()  # ten times faster than norm along an axis
    return {"mean": round(float(length.mean()), 4), "max": round(float(length.max()), 4)}
