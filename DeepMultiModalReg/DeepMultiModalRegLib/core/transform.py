"""Transform: where each point of the fixed image lies in the moving image. Affine, DenseField, Composite."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import InputError
from .grid import Grid, affine_points
from .image import Image
from .sampling import sample


class Transform:
    """Maps FIXED points to MOVING points, both in LPS mm (ITK's meaning)."""

    dimension: int

    def points(self, x: Tensor) -> Tensor:
        """(..., D) LPS mm of the fixed image to (..., D) LPS mm of the moving image."""
        raise TypeError(f"{type(self).__name__} must define points()")

    def displacement(self, grid: Grid, dtype: torch.dtype = torch.float32, device=None) -> Tensor:
        """(D, *grid.shape): T(x) - x in LPS mm at the grid's voxels."""
        x = grid.points(torch.float64, device)
        return torch.movedim(self.points(x) - x, -1, 0).to(dtype)

    def to(self, device) -> Transform:
        """The same transform with its tensors on `device`."""
        raise TypeError(f"{type(self).__name__} must define to()")


class Affine(Transform):
    """T(x) = A x + t. matrix: (D+1, D+1), kept in float64 on the CPU."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = torch.as_tensor(matrix, dtype=torch.float64, device="cpu")
        self.dimension = self.matrix.shape[0] - 1
        if self.matrix.shape not in ((3, 3), (4, 4)):
            raise InputError(f"An affine matrix must be 3x3 or 4x4, not {tuple(self.matrix.shape)}.")
        if not torch.isfinite(self.matrix).all() or abs(torch.linalg.det(self.matrix).item()) < 1e-12:
            raise InputError(
                "The affine transform cannot be inverted; give one whose matrix is finite and not singular."
            )

    @classmethod
    def identity(cls, dimension: int) -> Affine:
        return cls(torch.eye(dimension + 1, dtype=torch.float64))

    @classmethod
    def from_parts(cls, linear: Tensor, translation: Tensor) -> Affine:
        """linear (D, D) and translation (D,) in mm."""
        d = linear.shape[0]
        matrix = torch.eye(d + 1, dtype=torch.float64)
        matrix[:d, :d] = linear
        matrix[:d, d] = translation
        return cls(matrix)

    @property
    def linear(self) -> Tensor:
        return self.matrix[:-1, :-1]

    @property
    def translation(self) -> Tensor:
        return self.matrix[:-1, -1]

    def inverse(self) -> Affine:
        return Affine(torch.linalg.inv(self.matrix))

    def __matmul__(self, inner: Affine) -> Affine:
        """x -> self(inner(x))."""
        return Affine(self.matrix @ inner.matrix)

    def points(self, x: Tensor) -> Tensor:
        return x @ self.linear.T.to(x) + self.translation.to(x)

    def displacement(self, grid: Grid, dtype: torch.dtype = torch.float32, device=None) -> Tensor:
        moved = self.matrix @ grid.matrix - grid.matrix
        moved[-1, -1] = 1.0
        return torch.movedim(affine_points(moved, grid.shape, dtype, device), -1, 0)

    def to(self, device) -> Affine:
        return self


class DenseField(Transform):
    """T(x) = x + u(x), u linear between the lattice's voxels and zero outside it (ITK's rule).

    field: Image whose tensor is (D, *shape), the displacement in LPS mm (not in voxels, not along the lattice's axes).
    """

    def __init__(self, field: Image) -> None:
        if field.channels != field.grid.dimension:
            raise InputError(
                f"A displacement field of dimension {field.grid.dimension} needs as many components, "
                f"not {field.channels}."
            )
        self.field = field
        self.dimension = field.grid.dimension

    def points(self, x: Tensor) -> Tensor:
        d = self.dimension
        inverse = self.field.grid.inverse_matrix.to(x)
        index = x @ inverse[:d, :d].T + inverse[:d, d]
        u = sample(self.field.tensor.to(x), index.reshape(1, -1, *([1] * (d - 2)), d), "linear", 0.0)
        return x + torch.movedim(u.reshape(d, *x.shape[:-1]), 0, -1)

    def displacement(self, grid: Grid, dtype: torch.dtype = torch.float32, device=None) -> Tensor:
        own = self.field.grid
        device = self.field.tensor.device if device is None else device
        if own.same_as(grid):
            return self.field.tensor.to(device=device, dtype=dtype)
        index = affine_points(own.inverse_matrix @ grid.matrix, grid.shape, torch.float32, device)
        return sample(self.field.tensor.to(device), index, "linear", 0.0).to(dtype)

    def closed(self) -> DenseField:
        """The same displacement inside, on a lattice grown until it has fallen smoothly to zero outside.

        ITK takes a field as zero outside its lattice, VTK as its border's value; a field that ends in zero is the same
        for both, and does not fold where it ends: it falls over at least twice its own largest border value.
        """
        u = self.field.tensor
        d = self.dimension
        flat = u.abs().amax(0)
        border = torch.zeros((), dtype=u.dtype, device=u.device)
        for axis in range(d):
            border = torch.maximum(border, torch.maximum(flat.select(axis, 0).max(), flat.select(axis, -1).max()))
        if border == 0:
            return self
        grid = self.field.grid
        # the fall needs room: twice the largest displacement, at least two voxels; a slice stays a slice
        pads = [
            max(2, math.ceil(2.0 * border.item() / s)) if n > 1 else 0
            for n, s in zip(grid.size, grid.spacing, strict=True)
        ]
        around = [p for pad in pads for p in (pad, pad)]
        grown = F.pad(u.float()[None], around, mode="replicate")[0]
        # the least of the axes' ramps, not their product: the slopes of a product add up in the corners, and fold there
        window = torch.ones((), device=u.device)
        for axis, pad in enumerate(pads):
            if pad:
                ramp = torch.linspace(0, 1, pad + 1, device=u.device)[:-1]
                line = torch.cat([ramp, torch.ones(grid.size[axis], device=u.device), ramp.flip(0)])
                window = torch.minimum(window, line.reshape(-1, *([1] * axis)))
        grown = grown * window
        lattice = grid.cropped(tuple(-p for p in pads), tuple(n + 2 * p for n, p in zip(grid.size, pads, strict=True)))
        return DenseField(Image(grown, lattice))

    def to(self, device) -> DenseField:
        return DenseField(self.field.to(device))


class Composite(Transform):
    """T(x) = affine(x + u(x)): the dense part first, in the fixed image's space; then the affine part."""

    def __init__(self, dense: DenseField | None, affine: Affine | None) -> None:
        parts = [p for p in (dense, affine) if p is not None]
        if not parts:
            raise InputError("A composite transform needs at least one part.")
        if len({p.dimension for p in parts}) != 1:
            raise InputError("The parts of a composite transform must all be 2D or all be 3D.")
        self.dimension = parts[0].dimension
        self.dense = dense
        self.affine = Affine.identity(self.dimension) if affine is None else affine

    def points(self, x: Tensor) -> Tensor:
        return self.affine.points(x if self.dense is None else self.dense.points(x))

    def to(self, device) -> Composite:
        return Composite(None if self.dense is None else self.dense.to(device), self.affine)


def split(transform: Transform | None, dimension: int) -> tuple[DenseField | None, Affine]:
    """The dense and the affine part of any transform, identity where there is none."""
    if transform is None:
        return None, Affine.identity(dimension)
    if isinstance(transform, Affine):
        return None, transform
    if isinstance(transform, DenseField):
        return transform, Affine.identity(dimension)
    if isinstance(transform, Composite):
        return transform.dense, transform.affine
    raise InputError(f"A transform of type {type(transform).__name__} is not known here.")
