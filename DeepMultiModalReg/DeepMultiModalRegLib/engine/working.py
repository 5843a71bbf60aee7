"""Working lattice: where the network sees both images, as a volume or slice by slice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import DenseField, Grid, Image, reoriented_grid
from .body import box

MARGIN_MM = 8.0  # around the fixed image's body
VOLUME_VOXELS = 2_600_000  # a 3D network's activations over more would not fit beside 3 GB
SLICE_VOXELS = 1 << 20
STACK_VOXELS = 24_000_000
SAME_SPACING = 1.01  # spacings that differ by less count as equal


@dataclass(frozen=True)
class Working:
    """A lattice and how its tensors become a network's batch.

    grid: the lattice in LPS mm, of the images' dimension. slices: a 3D lattice whose planes (I, J) are seen one by one,
    K being the slicing axis; in the plane only, so the displacement along K is zero.
    """

    grid: Grid
    slices: bool = False

    @property
    def planar(self) -> bool:
        return self.slices or self.grid.dimension == 2

    def batch(self, tensor: Tensor) -> Tensor:
        """(1, *grid.shape) to (N, 1, *network shape): N slices, or one volume or image."""
        return tensor.transpose(0, 1) if self.slices else tensor[None]

    def unbatch(self, tensor: Tensor) -> Tensor:
        """(N, C, *network shape) to (C, *grid.shape)."""
        return tensor.transpose(0, 1) if self.slices else tensor[0]

    def field(self, displacement: Tensor) -> DenseField:
        """(N, D', *network shape), in voxels along the network's axes I, J(, K), to a field in LPS mm on the
        lattice."""
        voxels = self.unbatch(displacement.float())
        to_mm = self.grid.matrix[:-1, : voxels.shape[0]].to(voxels)
        u = torch.einsum("ri,i...->r...", to_mm, voxels).contiguous()
        return DenseField(Image(u, self.grid))

    def coarser(self, factor: float, multiple: int) -> Working:
        """The same space with `factor` times the spacing (in the plane for slices)."""
        spacing = [s * factor for s in self.grid.spacing]
        size = [math.ceil(n / factor / multiple - 1e-6) * multiple for n in self.grid.size]
        if self.slices:
            spacing[2], size[2] = self.grid.spacing[2], self.grid.size[2]
        return Working(_about(self.grid, self.grid.centre, size, spacing), self.slices)

    def describe(self) -> dict:
        """For the report."""
        kind = "slices" if self.slices else "image" if self.grid.dimension == 2 else "volume"
        return {"kind": kind, "size": list(self.grid.size), "spacing": [round(s, 4) for s in self.grid.spacing]}


def _about(grid: Grid, centre: Tensor, size: list[int], spacing: list[float]) -> Grid:
    """A lattice with the axes of `grid` whose middle lies at `centre` (LPS mm)."""
    half = torch.tensor([(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)], dtype=torch.float64)
    axes = grid.matrix[:-1, :-1] / torch.tensor(grid.spacing, dtype=torch.float64)
    return Grid(tuple(size), tuple(spacing), tuple((centre - axes @ half).tolist()), grid.direction)


def working_lattice(
    fixed: Grid, body: Tensor, dimension: int, spacing: float, multiple: int, voxels: int = VOLUME_VOXELS
) -> tuple[Working, list[str]]:
    """The lattice for a network of `dimension` (2: slices of a volume, or a 2D image; 3: volumes), and warnings.

    fixed: the fixed image's lattice. body: (N, D) LPS mm of its foreground. spacing: the model's, in mm. The lattice
    covers the body and a margin, as far as the image reaches; each size the network sees is rounded up to a multiple
    of `multiple`. Too large a lattice, a volume of more than `voxels`, gets a wider spacing, and a warning says so.
    """
    build = _volume if dimension == 3 else _planes
    wanted, working = spacing, build(fixed, body, spacing, multiple)
    while _too_large(working, voxels):
        spacing *= 1.05
        working = build(fixed, body, spacing, multiple)
    if spacing == wanted:
        return working, []
    return working, [f"The image is large: the network works at {spacing:.2f} mm instead of the model's {wanted:g} mm."]


def _too_large(working: Working, voxels: int) -> bool:
    grid = working.grid
    if working.planar:
        return grid.size[0] * grid.size[1] > SLICE_VOXELS or grid.voxels > STACK_VOXELS
    return grid.voxels > voxels


def _rounded(low: Tensor, high: Tensor, spacing: float, multiple: int) -> list[int]:
    """Voxels of `spacing` that cover from `low` to `high` (mm), in multiples of `multiple`."""
    return [max(1, math.ceil(e / spacing / multiple - 1e-6)) * multiple for e in (high - low).tolist()]


def _volume(fixed: Grid, body: Tensor, spacing: float, multiple: int) -> Working:
    """A lattice along the LPS axes around the body."""
    half_voxel = 0.5 * (fixed.matrix[:-1, :-1].abs()).sum(1)
    corners = fixed.corners()
    low, high = box(body)
    low = torch.maximum(low - MARGIN_MM, corners.amin(0) - half_voxel)
    high = torch.minimum(high + MARGIN_MM, corners.amax(0) + half_voxel)
    size = _rounded(low, high, spacing, multiple)
    return Working(Grid.regular(tuple(size), spacing, (low + high) / 2))


def slicing_axis(canonical: Grid) -> int:
    """Which axis of a canonical 3D lattice (nearest L, P, S) the slices are stacked along.

    The coarsest one, so that the planes have the two finest spacings; among equal ones that nearest to S (axial
    slices). A lattice one voxel thick is a slice whatever its spacing.
    """
    thin = [axis for axis in range(3) if canonical.size[axis] == 1]
    candidates = thin or range(3)
    coarsest = max(canonical.spacing[axis] for axis in candidates)
    return max(axis for axis in candidates if canonical.spacing[axis] * SAME_SPACING >= coarsest)


def _planes(fixed: Grid, body: Tensor, spacing: float, multiple: int) -> Working:
    """A lattice along the fixed image's own axes, named canonically: every slice kept, in the plane around the body."""
    canonical = reoriented_grid(fixed)
    d = canonical.dimension
    order = list(range(d))
    if d == 3:
        order.remove(slice_axis := slicing_axis(canonical))
    spacings = torch.tensor(canonical.spacing, dtype=torch.float64)
    index = (body - canonical.matrix[:-1, -1]) @ canonical.inverse_matrix[:-1, :-1].T
    low, high = box(index)
    low = torch.maximum(low - MARGIN_MM / spacings, torch.full((d,), -0.5, dtype=torch.float64))
    high = torch.minimum(high + MARGIN_MM / spacings, torch.tensor(canonical.size, dtype=torch.float64) - 0.5)
    size = _rounded((low * spacings)[order], (high * spacings)[order], spacing, multiple)
    spacing_out = [spacing, spacing]
    middle = (low + high) / 2
    if d == 3:
        middle[slice_axis] = (canonical.size[slice_axis] - 1) / 2
        order.append(slice_axis)
        size.append(canonical.size[slice_axis])
        spacing_out.append(canonical.spacing[slice_axis])
    centre = canonical.matrix[:-1, :-1] @ middle + canonical.matrix[:-1, -1]
    axes = torch.tensor(canonical.direction, dtype=torch.float64).reshape(d, d)[:, order]
    turned = Grid((1,) * d, (1.0,) * d, (0.0,) * d, tuple(axes.flatten().tolist()))
    return Working(_about(turned, centre, size, spacing_out), slices=d == 3)
