"""reorient names the same voxels along L, P, S."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lattices import LATTICES, LATTICES_3D, coordinate_image, random_image, rotation, sitk_image

from DeepMultiModalRegLib.core import Grid, canonical_axes, reorient, reoriented_grid

every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())


@every_lattice
def test_no_voxel_moves(grid: Grid) -> None:
    turned = reorient(coordinate_image(grid))
    places = torch.movedim(turned.grid.points(torch.float64), -1, 0)
    assert (turned.tensor - places).abs().max() < 1e-4
    assert turned.grid.voxels == grid.voxels and turned.grid == reoriented_grid(grid)


@every_lattice
def test_the_axes_then_run_along_the_bodys(grid: Grid) -> None:
    d = grid.dimension
    axes = np.asarray(reoriented_grid(grid).direction).reshape(d, d)
    assert (np.diag(axes) > 0).all()
    order, flips = canonical_axes(reoriented_grid(grid))
    assert order == tuple(range(d)) and not any(flips)


@pytest.mark.parametrize("grid", LATTICES_3D.values(), ids=LATTICES_3D.keys())
def test_it_is_simpleitks_lps_orientation(grid: Grid) -> None:
    image = random_image(grid)
    ours, theirs = sitk_image(reorient(image)), sitk.DICOMOrient(sitk_image(image), "LPS")
    assert ours.GetSize() == theirs.GetSize()
    np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-6)
    assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))


def test_no_axis_is_named_twice_near_45_degrees() -> None:
    for degrees in np.arange(-180, 181, 7.5):
        axes = rotation(0, 0, degrees) @ rotation(45, 45, 0)
        grid = Grid((4, 5, 6), (1, 1, 1), (0, 0, 0), tuple(axes.ravel().tolist()))
        assert sorted(canonical_axes(grid)[0]) == [0, 1, 2]
        image = random_image(grid)
        assert torch.equal(image.tensor.flatten().sort()[0], reorient(image).tensor.flatten().sort()[0])
