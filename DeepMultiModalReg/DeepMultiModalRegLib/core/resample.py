"""Resampling an image on another lattice, through a transform."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import InputError
from .grid import Grid, affine_points
from .image import Image
from .parallel import each
from .sampling import sample
from .transform import Transform, split

SLAB_VOXELS = 1 << 19  # positions held at once by a thread: a target of 512x512x400 would need gigabytes of them


def resample(
    image: Image, grid: Grid, transform: Transform | None = None, mode: str = "linear", fill: float = 0.0
) -> Image:
    """`image` read at transform(points of `grid`), on `grid`; `fill` where that lies outside the image.

    mode "linear" gives float32, "nearest" keeps the dtype. Equals SimpleITK's Resample with the same transform.
    Differentiable with respect to the image. Raises InputError on a mixture of 2D and 3D.
    """
    d = grid.dimension
    if image.grid.dimension != d or (transform is not None and transform.dimension != d):
        raise InputError("2D and 3D cannot be mixed: image, lattice and transform must have the same dimension.")
    dense, affine = split(transform, d)
    tensor = image.tensor if mode == "nearest" else image.tensor.float()
    to_index = image.grid.inverse_matrix @ affine.matrix
    whole = to_index @ grid.matrix
    rows = max(1, SLAB_VOXELS // max(1, grid.voxels // grid.shape[0]))

    def slab(first: int) -> Tensor:
        count = min(rows, grid.shape[0] - first)
        return sample(tensor, _positions(whole, to_index, dense, grid, first, count, tensor.device), mode, fill)

    firsts = range(0, grid.shape[0], rows)
    slabs = each(slab, firsts) if tensor.device.type == "cpu" else [slab(first) for first in firsts]
    return Image(slabs[0] if len(slabs) == 1 else torch.cat(slabs, 1), grid)


def _positions(whole: Tensor, to_index: Tensor, dense, grid: Grid, first: int, count: int, device) -> Tensor:
    """(count, ..., D) index positions in the image of a slab of `grid`, displacement included."""
    shape = (count, *grid.shape[1:])
    position = affine_points(whole, shape, torch.float32, device, first)
    if dense is None:
        return position
    start = (0,) * (grid.dimension - 1) + (first,)
    u = dense.displacement(grid.cropped(start, shape[::-1]), torch.float32, device)
    linear = to_index[:-1, :-1].to(u)
    return position + torch.einsum("ij,j...->...i", linear, u)
