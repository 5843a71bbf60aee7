"""What a method finds in voxels of the working lattice comes out in LPS millimetres, whatever the fixed image's
axes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fakes import Constant, Correlating, model_of, phantom
from lattices import affine_near, make_grid, rotation, sitk_image, smooth_field

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, split
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.working import slicing_axis, working_lattice
from DeepMultiModalRegLib.io import write_transform

OBLIQUE = rotation(12, -9, 15)
GRIDS = {
    "upright": make_grid((40, 36, 30), (2, 2, 2), (-40, -36, -30), np.eye(3)),
    "oblique": make_grid((40, 36, 32), (1.9, 2.1, 2.0), (55, -70, 20), OBLIQUE),
    "left_handed": make_grid((40, 36, 32), (2, 2, 2), (40, -30, 12), np.diag([-1.0, 1, 1])),
    "oblique_left_handed": make_grid((40, 36, 32), (1.9, 2.1, 2.0), (5, -7, 2), OBLIQUE @ np.diag([1.0, -1, 1])),
    "permuted": make_grid((32, 40, 36), (2, 2, 2), (-40, 36, -32), [[0, 0, 1.0], [-1.0, 0, 0], [0, 1.0, 0]]),
    "anisotropic": make_grid((60, 50, 14), (1.3, 1.5, 4.5), (-40, -36, 100), rotation(4, 6, -8)),
    "sagittal": make_grid((50, 52, 16), (1.5, 1.5, 4.0), (0, 0, 0), [[0, 0, 1.0], [1.0, 0, 0], [0, -1.0, 0]]),
}
GRIDS_2D = {
    "upright": make_grid((60, 50), (1.5, 1.5), (0, 0), np.eye(2)),
    "turned_left_handed": make_grid((60, 50), (1.4, 1.6), (30, -20), rotation(160) @ np.diag([1.0, -1])),
}


def in_plane_axes(grid: Grid) -> np.ndarray:
    """(3, 2) unit vectors of the fixed image's plane of finest spacing, from its own axes and by hand."""
    axes = np.array(grid.direction).reshape(3, 3)
    coarsest = max(range(3), key=lambda i: (round(grid.spacing[i], 6), abs(axes[2, i])))
    return axes[:, [i for i in range(3) if i != coarsest]]


def shift_of(transform, grid: Grid) -> np.ndarray:
    """T(x) - x at the lattice's middle, mm."""
    middle = grid.centre[None]
    return (transform.points(middle) - middle)[0].numpy()


@pytest.mark.parametrize("name", GRIDS)
def test_a_3d_method_s_shift_comes_out_in_lps_millimetres(name):
    grid, shift = GRIDS[name], (8.0, -6.0, 4.0)
    result = register(phantom(grid), phantom(grid, shift), model_of(Correlating(3)), start="none")
    np.testing.assert_allclose(shift_of(result.transform, grid), shift, atol=1e-4)


@pytest.mark.parametrize("name", GRIDS)
def test_a_slice_method_s_shift_comes_out_in_lps_millimetres_in_the_plane(name):
    grid = GRIDS[name]
    shift = in_plane_axes(grid) @ np.array([8.0, -6.0])
    result = register(phantom(grid), phantom(grid, shift), model_of(Correlating(2)), start="none")
    np.testing.assert_allclose(shift_of(result.transform, grid), shift, atol=1e-4)
    assert result.report["parameters"]["working"]["kind"] == "slices"


@pytest.mark.parametrize("name", GRIDS_2D)
def test_a_2d_image_s_shift_comes_out_in_millimetres(name):
    grid = GRIDS_2D[name]
    axes = np.array(grid.direction).reshape(2, 2)
    shift = axes @ np.array([6.0, -10.0])
    result = register(phantom(grid), phantom(grid, shift), model_of(Correlating(2)), start="none")
    np.testing.assert_allclose(shift_of(result.transform, grid), shift, atol=1e-4)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_written_transform_resamples_in_simpleitk_to_the_warped_image(dimension, tmp_path):
    """An oblique, left-handed fixed image, a turned moving one, an affine start: SimpleITK reads the file and
    agrees."""
    grid = GRIDS["oblique_left_handed"]
    other = make_grid((44, 40, 38), (1.8, 2.0, 1.7), (35, 10, -20), rotation(-10, 20, 30))
    other = Grid(
        other.size,
        other.spacing,
        tuple((grid.centre - other.centre + torch.tensor(other.origin)).tolist()),
        other.direction,
    )
    fixed, moving = phantom(grid), phantom(other, (3.0, -2.0, 1.0))
    method = Constant(1.5, -0.75) if dimension == 2 else Constant(1.5, -0.75, 0.5)
    result = register(fixed, moving, model_of(method), start=affine_near(grid), fill=-7.0)
    write_transform(result.transform, tmp_path / "t.h5")
    read = sitk.ReadTransform(str(tmp_path / "t.h5"))
    expected = sitk.GetArrayFromImage(sitk.Resample(sitk_image(moving), sitk_image(fixed), read, sitk.sitkLinear, -7.0))
    difference = np.abs(result.warped.tensor[0].numpy() - expected)
    assert np.median(difference) < 1e-3 and np.quantile(difference, 0.999) < 0.1  # of 1000 grey levels
    assert expected.max() > 500


def test_the_displacement_is_constant_in_the_body_and_follows_the_start():
    grid = GRIDS["upright"]
    start = affine_near(grid)
    result = register(phantom(grid), phantom(grid), model_of(Constant(1.0, -2.0, 0.5)), start=start)
    body = body_points(phantom(grid))
    expected = start.points(body + torch.tensor([2.0, -4.0, 1.0], dtype=torch.float64))
    assert (result.transform.points(body) - expected).norm(dim=-1).max() < 1e-3


def test_a_start_with_a_field_is_kept_and_composed():
    grid = GRIDS["oblique"]
    start = Composite(smooth_field(grid, 3.0).closed(), affine_near(grid))
    fixed = phantom(grid)
    unmoved = register(fixed, fixed, model_of(Constant(0.0, 0.0, 0.0)), start=start)
    x = grid.points(torch.float64)
    assert (unmoved.transform.points(x) - start.points(x)).norm(dim=-1).max() < 1e-3
    moved = register(fixed, fixed, model_of(Constant(1.0, 0.0, -1.0)), start=start)
    body = body_points(fixed)
    expected = start.points(body + torch.tensor([2.0, 0.0, -2.0], dtype=torch.float64))
    # the start's field is linear between its voxels: read half-way, it is sampled again
    assert (moved.transform.points(body) - expected).norm(dim=-1).max() < 0.1


def test_the_inverse_undoes_the_transform():
    grid = GRIDS["oblique"]
    result = register(
        phantom(grid), phantom(grid), model_of(Constant(1.0, -2.0, 0.5)), start=affine_near(grid), inverse=True
    )
    x = body_points(phantom(grid))
    assert (result.inverse.points(result.transform.points(x)) - x).norm(dim=-1).max() < 0.01
    assert result.report["inverse_round_trip_mm"]["max"] < 0.1


def test_the_delivered_field_ends_in_zero():
    """ITK and VTK differ outside a field's lattice unless it ends in zero."""
    grid = GRIDS["upright"]
    dense, _ = split(
        register(phantom(grid), phantom(grid), model_of(Constant(2.0, 1.0, 3.0)), start="none").transform, 3
    )
    assert isinstance(dense, DenseField)
    u = dense.field.tensor
    assert all(float(u.select(axis, end).abs().max()) == 0 for axis in (1, 2, 3) for end in (0, -1))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_the_working_lattice_covers_the_body_in_multiples(name, dimension):
    grid = GRIDS[name]
    body = body_points(phantom(grid))
    working, warnings = working_lattice(grid, body, dimension, 2.0, 16)
    index = (body - working.grid.matrix[:-1, -1]) @ working.grid.inverse_matrix[:-1, :-1].T
    size = torch.tensor(working.grid.size)
    inside = ((index > -0.5) & (index < size - 0.5)).all(-1).double().mean()
    assert inside > 0.99
    seen = working.grid.size if dimension == 3 else working.grid.size[:2]
    assert all(n % 16 == 0 for n in seen) and not warnings
    if dimension == 3:
        assert np.allclose(np.array(working.grid.direction).reshape(3, 3), np.eye(3))
    else:
        assert working.grid.size[2] in grid.size  # every slice is kept


def test_slices_lie_across_the_coarsest_axis_and_axially_where_spacings_are_equal():
    assert slicing_axis(make_grid((20, 20, 20), (1, 1, 1), (0, 0, 0), np.eye(3))) == 2
    assert slicing_axis(make_grid((20, 20, 20), (1, 4, 1), (0, 0, 0), np.eye(3))) == 1
    assert slicing_axis(make_grid((20, 20, 20), (4, 1, 4), (0, 0, 0), np.eye(3))) == 2
    assert slicing_axis(make_grid((1, 20, 20), (1, 1, 1), (0, 0, 0), np.eye(3))) == 0


def test_a_huge_image_gets_a_wider_spacing_and_a_word():
    grid = make_grid((300, 300, 300), (1, 1, 1), (0, 0, 0), np.eye(3))
    body = grid.corners()
    working, warnings = working_lattice(grid, body, 3, 1.0, 16)
    assert working.grid.voxels <= 2_600_000 and len(warnings) == 1 and "mm" in warnings[0]


def test_a_one_slice_volume_is_registered_as_a_slice():
    grid = make_grid((48, 40, 1), (1.5, 1.5, 5.0), (3, 4, 5), rotation(5, 8, -12))
    shift = in_plane_axes(grid) @ np.array([4.0, -6.0])
    result = register(phantom(grid), phantom(grid, shift), model_of(Correlating(2)), start="none")
    np.testing.assert_allclose(shift_of(result.transform, grid), shift, atol=1e-4)
    assert isinstance(split(result.transform, 3)[1], Affine)
