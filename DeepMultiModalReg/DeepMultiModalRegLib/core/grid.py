"""Grid: the lattice of an image in physical space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .errors import InputError


@dataclass(frozen=True)
class Grid:
    """A lattice of voxel centres in LPS millimetres, of dimension D = 2 or 3.

    size:      voxels along the index axes I, J(, K); I runs fastest in memory, as in SimpleITK.
    spacing:   mm between neighbours along each index axis, positive.
    origin:    LPS mm of voxel (0, 0(, 0)).
    direction: D*D numbers, row-major; its columns are the index axes' unit vectors (SimpleITK's GetDirection()).

    Left-handed and sheared lattices are allowed; singular ones are not.
    Raises InputError where the lattice cannot place a voxel in space.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    def __post_init__(self) -> None:
        convert = {"size": int, "spacing": float, "origin": float, "direction": float}
        for name, kind in convert.items():
            object.__setattr__(self, name, tuple(kind(v) for v in getattr(self, name)))
        d = len(self.size)
        if d not in (2, 3):
            raise InputError(f"An image of {d} dimensions cannot be registered; give a 2D or a 3D image.")
        if len(self.spacing) != d or len(self.origin) != d or len(self.direction) != d * d:
            raise InputError("The image's size, spacing, origin and direction disagree in dimension; export it again.")
        if min(self.size) < 1:
            raise InputError(f"The image is empty (size {self.size}); choose an image that has voxels.")
        numbers = (*self.spacing, *self.origin, *self.direction)
        if not all(math.isfinite(v) for v in numbers):
            raise InputError(
                "The image's header holds a number that is not finite; repair its spacing, origin or axes."
            )
        if min(self.spacing) <= 0:
            raise InputError(f"The image's voxel spacing {self.spacing} mm must be positive; repair its header.")
        if abs(torch.linalg.det(self._axes()).item()) < 1e-6:
            raise InputError("The image's axis directions are singular (two axes coincide); repair its header.")

    def _axes(self) -> Tensor:
        d = len(self.size)
        return torch.tensor(self.direction, dtype=torch.float64).reshape(d, d)

    @classmethod
    def regular(cls, size: tuple[int, ...], spacing: float | tuple[float, ...], centre: Tensor | None = None) -> Grid:
        """A lattice along the LPS axes whose middle lies at `centre` (LPS mm, default 0)."""
        d = len(size)
        spacing = (float(spacing),) * d if isinstance(spacing, (int, float)) else spacing
        middle = [0.0] * d if centre is None else [float(c) for c in centre]
        origin = tuple(m - (n - 1) / 2 * s for m, n, s in zip(middle, size, spacing, strict=True))
        return cls(size, spacing, origin, tuple(float(r == c) for r in range(d) for c in range(d)))

    @property
    def dimension(self) -> int:
        return len(self.size)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size in tensor order: (K, J, I) or (J, I)."""
        return self.size[::-1]

    @property
    def voxels(self) -> int:
        return math.prod(self.size)

    @cached_property
    def matrix(self) -> Tensor:
        """(D+1, D+1) float64: index (I, J(, K), 1) to LPS mm."""
        d = self.dimension
        m = torch.eye(d + 1, dtype=torch.float64)
        m[:d, :d] = self._axes() * torch.tensor(self.spacing, dtype=torch.float64)
        m[:d, d] = torch.tensor(self.origin, dtype=torch.float64)
        return m

    @cached_property
    def inverse_matrix(self) -> Tensor:
        """(D+1, D+1) float64: LPS mm to index (I, J(, K), 1)."""
        return torch.linalg.inv(self.matrix)

    def points(self, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None) -> Tensor:
        """(*shape, D): the LPS mm of every voxel centre."""
        return affine_points(self.matrix, self.shape, dtype, device)

    @property
    def centre(self) -> Tensor:
        """(D,) float64: LPS mm of the lattice's middle."""
        half = torch.tensor([(n - 1) / 2 for n in self.size] + [1.0], dtype=torch.float64)
        return (self.matrix @ half)[:-1]

    def corners(self) -> Tensor:
        """(2**D, D) float64: LPS mm of the outermost voxel centres."""
        ranges = [torch.tensor([0.0, n - 1.0], dtype=torch.float64) for n in self.size]
        index = torch.cartesian_prod(*ranges)
        return index @ self.matrix[:-1, :-1].T + self.matrix[:-1, -1]

    @property
    def extent(self) -> Tensor:
        """(D,) float64: mm that each axis covers, half a voxel beyond the outermost centres included."""
        return torch.tensor([n * s for n, s in zip(self.size, self.spacing, strict=True)], dtype=torch.float64)

    def same_as(self, other: Grid, tolerance_mm: float = 1e-4) -> bool:
        """Whether both lattices have the same voxels in the same places."""
        return self.size == other.size and bool((self.corners() - other.corners()).abs().max() <= tolerance_mm)

    def cropped(self, start: tuple[int, ...], size: tuple[int, ...]) -> Grid:
        """The lattice of `size` voxels whose voxel 0 is voxel `start` here; a negative start grows the lattice."""
        index = torch.tensor([*map(float, start), 1.0], dtype=torch.float64)
        return Grid(size, self.spacing, tuple((self.matrix @ index)[:-1].tolist()), self.direction)

    def respaced(self, spacing: tuple[float, ...], multiple: int = 1) -> Grid:
        """A lattice with the same axes and middle, of the new spacing (mm), covering at least the same extent.

        Each size is rounded up to a multiple of `multiple`.
        """
        d = self.dimension
        size = tuple(
            max(1, math.ceil(e / s / multiple - 1e-6)) * multiple
            for e, s in zip(self.extent.tolist(), spacing, strict=True)
        )
        half = torch.tensor([(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)], dtype=torch.float64)
        origin = self.centre - self._axes() @ half
        return Grid(size, tuple(map(float, spacing)), tuple(origin.tolist()[:d]), self.direction)


def affine_points(
    matrix: Tensor,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    first: int = 0,
) -> Tensor:
    """(*shape, D'): `matrix` (D'+1, D+1) applied to each index (I, J(, K), 1) of a lattice of tensor shape `shape`.

    `first` is added to the slowest index, for work in slabs. Sums of per-axis lines rather than a matrix product per
    voxel: one pass over memory.
    """
    d = len(shape)
    total = matrix[:-1, -1].to(device=device, dtype=torch.float64)
    for axis in range(d):
        n = shape[d - 1 - axis]
        start = first if axis == d - 1 else 0
        line = torch.arange(start, start + n, dtype=torch.float64, device=device)[:, None]
        line = line * matrix[:-1, axis].to(device=device, dtype=torch.float64)
        total = total + line.reshape(n, *([1] * axis), matrix.shape[0] - 1)
        if axis == d - 2:  # double precision for the lines, the wanted one for the full lattice
            total = total.to(dtype) if d == 3 else total
    return total.to(dtype)
