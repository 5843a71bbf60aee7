"""The lattices every geometric claim is tested on, images and transforms about them, and SimpleITK's view of them."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, Transform
from DeepMultiModalRegLib.core.transform import split


def rotation(*degrees: float) -> np.ndarray:
    """A 2D turn (one angle) or a 3D one about x, then y, then z (three angles)."""
    if len(degrees) == 1:
        c, s = math.cos(math.radians(degrees[0])), math.sin(math.radians(degrees[0]))
        return np.array([[c, -s], [s, c]])
    total = np.eye(3)
    for (i, j), angle in zip([(1, 2), (2, 0), (0, 1)], degrees, strict=True):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.eye(3)
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        total = turn @ total
    return total


def make_grid(size, spacing, origin, direction) -> Grid:
    return Grid(size, spacing, origin, tuple(np.asarray(direction, dtype=float).ravel().tolist()))


_OBLIQUE, _MIRROR = rotation(20, -35, 50), np.diag([1.0, -1.0, 1.0])
_PERMUTED = [[0, 0, 1], [-1, 0, 0], [0, 1, 0]]

# Small, so that a file of tests takes seconds; of three different sizes, so that a swapped axis cannot pass.
LATTICES_3D: dict[str, Grid] = {
    "identity": make_grid((14, 12, 10), (1, 1, 1), (0, 0, 0), np.eye(3)),
    "rotated": make_grid((14, 12, 10), (1.2, 1.2, 1.2), (-8, -7, -6), rotation(0, 0, 30)),
    "anisotropic": make_grid((18, 14, 6), (0.8, 1.1, 3.5), (-7, -7, -9), np.eye(3)),
    "left_handed": make_grid((14, 12, 10), (1.3, 1.1, 1.4), (9, -6, -7), np.diag([-1, 1, 1])),
    "shifted": make_grid((14, 12, 10), (1.1, 1.1, 1.1), (412.5, -288.25, 1033.0), np.eye(3)),
    "oblique": make_grid((14, 12, 10), (0.9, 1.3, 1.7), (11, -22, 33), _OBLIQUE),
    "oblique_left_handed": make_grid((14, 12, 10), (0.9, 1.3, 1.7), (-5, 4, 3), _OBLIQUE @ _MIRROR),
    "permuted": make_grid((14, 12, 10), (1.2, 0.9, 1.5), (-6, 8, -7), _PERMUTED),
    "one_slice": make_grid((14, 12, 1), (1.1, 0.9, 5.0), (-7, -5, 2), rotation(25, 10, -15)),
}
LATTICES_2D: dict[str, Grid] = {
    "identity_2d": make_grid((16, 12), (1, 1), (0, 0), np.eye(2)),
    "rotated_2d": make_grid((16, 12), (1.2, 1.2), (-8, -7), rotation(30)),
    "anisotropic_2d": make_grid((16, 12), (0.7, 2.1), (-5, -12), np.eye(2)),
    "left_handed_2d": make_grid((16, 12), (1.1, 1.3), (8, -7), np.diag([-1, 1])),
    "shifted_2d": make_grid((16, 12), (1.1, 1.3), (512.25, -1033.5), np.eye(2)),
    "oblique_2d": make_grid((16, 12), (0.9, 1.6), (3, 14), rotation(-68) @ np.diag([1, -1])),
}
LATTICES: dict[str, Grid] = {**LATTICES_3D, **LATTICES_2D}
SOLID: dict[str, Grid] = {name: grid for name, grid in LATTICES.items() if 1 not in grid.size}  # those with every slope


def random_image(grid: Grid, seed: int = 0, channels: int = 1) -> Image:
    """White noise: every voxel differs from its neighbours."""
    generator = torch.Generator().manual_seed(seed)
    return Image(torch.rand((channels, *grid.shape), generator=generator) * 100, grid)


def coordinate_image(grid: Grid) -> Image:
    """Each voxel holds its own LPS mm: linear interpolation then reads positions, so differences are millimetres."""
    return Image(torch.movedim(grid.points(torch.float64), -1, 0).float(), grid)


def near(grid: Grid, scale: float = 1.3) -> Grid:
    """Another lattice about the same place: turned, finer, reaching a little beyond (fill is exercised)."""
    d = grid.dimension
    turn = rotation(8) if d == 2 else rotation(7, -6, 8)
    if 1 in grid.size:
        turn = np.eye(d)
    axes = turn @ np.asarray(grid.direction).reshape(d, d)
    size = tuple(n if n == 1 else n + 3 for n in grid.size)
    spacing = tuple(s * 0.9 / scale * 1.3 for s in grid.spacing)
    half = axes @ np.array([(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)])
    return Grid(size, spacing, tuple((grid.centre.numpy() - half).tolist()), tuple(axes.ravel().tolist()))


def affine_near(grid: Grid, degrees: float = 5.0, shift_mm: float = 1.5) -> Affine:
    """A turn, a stretch and a shift about the lattice's centre (in its plane for one slice)."""
    d = grid.dimension
    turn = rotation(degrees) if d == 2 else rotation(0, 0.6 * degrees, degrees)
    linear = turn @ np.diag([1.04, 0.97, 1.02][:d])
    centre = grid.centre.numpy()
    shift = np.array([shift_mm, -0.7 * shift_mm, 0.4 * shift_mm][:d])
    return Affine.from_parts(torch.from_numpy(linear), torch.from_numpy(centre + shift - linear @ centre))


def smooth_field(grid: Grid, amplitude_mm: float = 1.5) -> DenseField:
    """A smooth displacement of a few waves across the lattice, in LPS mm; not zero at its border."""
    d = grid.dimension
    x = (grid.points(torch.float64) - grid.centre) / grid.extent.max()
    waves = [torch.sin(5 * x[..., (c + 1) % d] + c) * torch.cos(3 * x[..., c] - 0.5 * c) for c in range(d)]
    return DenseField(Image(amplitude_mm * torch.stack(waves).float(), grid))


def transforms_near(grid: Grid, degrees: float = 5.0) -> dict[str, Transform]:
    """One transform of each kind about `grid`; the dense ones live on a lattice of their own."""
    affine, dense = affine_near(grid, degrees), smooth_field(near(grid, 0.8))
    return {"affine": affine, "dense": dense, "composite": Composite(dense, affine)}


def sitk_image(image: Image) -> sitk.Image:
    """The same voxels and lattice in SimpleITK; several channels become a vector image."""
    array = image.tensor.detach().cpu().numpy()
    vector = image.channels > 1
    out = sitk.GetImageFromArray(np.moveaxis(array, 0, -1) if vector else array[0], isVector=vector)
    out.SetSpacing(image.grid.spacing)
    out.SetOrigin(image.grid.origin)
    out.SetDirection(image.grid.direction)
    return out


def sitk_transform(transform: Transform) -> sitk.Transform:
    """The same transform in SimpleITK, written out independently of the library's own reader and writer."""
    dense, affine = split(transform, transform.dimension)
    linear = sitk.AffineTransform(transform.dimension)
    linear.SetMatrix(affine.linear.flatten().tolist())
    linear.SetTranslation(affine.translation.tolist())
    if dense is None:
        return linear
    field = sitk.DisplacementFieldTransform(sitk.Cast(sitk_image(dense.field), sitk.sitkVectorFloat64))
    return sitk.CompositeTransform([linear, field])  # SimpleITK applies the last one first


def sitk_resample(
    image: Image, grid: Grid, transform: Transform | None, mode: str = "linear", fill: float = 0.0
) -> np.ndarray:
    """(C, *grid.shape): SimpleITK's Resample of the same image."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(grid.size)
    resampler.SetOutputSpacing(grid.spacing)
    resampler.SetOutputOrigin(grid.origin)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetInterpolator(sitk.sitkLinear if mode == "linear" else sitk.sitkNearestNeighbor)
    resampler.SetDefaultPixelValue(fill)
    if transform is not None:
        resampler.SetTransform(sitk_transform(transform))
    array = sitk.GetArrayFromImage(resampler.Execute(sitk_image(image)))
    return np.moveaxis(array, -1, 0) if image.channels > 1 else array[None]


def inside_safely(image: Image, grid: Grid, transform: Transform | None, margin: float = 1e-4) -> np.ndarray:
    """(*grid.shape) bool: not within `margin` voxels of the image's border, where rounding decides."""
    x = grid.points(torch.float64)
    y = x if transform is None else transform.points(x)
    d = grid.dimension
    index = y @ image.grid.inverse_matrix[:d, :d].T + image.grid.inverse_matrix[:d, d]
    size = torch.tensor(image.grid.size, dtype=torch.float64)
    edge = torch.minimum((index + 0.5).abs(), (index - size + 0.5).abs()).amin(-1)
    return (edge > margin).numpy()
