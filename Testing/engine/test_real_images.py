"""On real images: known shifts in the plane, axis orders of scanners, one lattice on another."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fakes import Constant, Correlating, model_of

from DeepMultiModalRegLib.core import Affine
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.choice import better_in_planes, guess_modality
from DeepMultiModalRegLib.io import read_image


def shift_at_the_middle(result, grid) -> np.ndarray:
    middle = grid.centre[None]
    return (result.transform.points(middle) - middle)[0].numpy()


@pytest.mark.parametrize("start", ["none", "moments", "centre"])
def test_a_slice_shifted_by_13_and_17_mm_is_found_from_every_start(data_dir, start):
    fixed, _ = read_image(data_dir / "test/slices2d/BrainProtonDensitySliceBorder20.png")
    moving, _ = read_image(data_dir / "test/slices2d/BrainProtonDensitySliceShifted13x17y.png")
    result = register(fixed, moving, model_of(Correlating(2), spacing=1.0), start=start)
    # a fraction of a pixel in the start is beyond a method that finds whole ones
    np.testing.assert_allclose(shift_at_the_middle(result, fixed.grid), (13, 17), atol=0.5)
    assert result.report["similarity"]["after"] > 1.5


def test_moments_alone_find_that_shift_within_a_millimetre(data_dir):
    fixed, _ = read_image(data_dir / "test/slices2d/BrainProtonDensitySliceBorder20.png")
    moving, _ = read_image(data_dir / "test/slices2d/BrainProtonDensitySliceShifted13x17y.png")
    result = register(fixed, moving, model_of(Constant(0.0, 0.0)), start="moments")
    np.testing.assert_allclose(shift_at_the_middle(result, fixed.grid), (13, 17), atol=1.0)


@pytest.mark.parametrize(
    ("folder", "fixed", "moving"),
    [("ms12", "t1", "t2"), ("ms12", "t2", "t1"), ("cord", "t1", "t2"), ("cord", "t2", "t1")],
)
@pytest.mark.parametrize("dimension", [2, 3])
def test_warped_equals_simpleitk_on_native_lattices(data_dir, folder, fixed, moving, dimension):
    """Two lattices of one scanner session: other axis orders, thick slices, other fields of view."""
    paths = [data_dir / "test" / folder / f"{name}.nii.gz" for name in (fixed, moving)]
    images = [read_image(path)[0] for path in paths]
    result = register(*images, model_of(Constant(*([0.0] * dimension))), start="none", fill=0.0)
    pictures = [sitk.ReadImage(str(path), sitk.sitkFloat32) for path in paths]
    expected = sitk.GetArrayFromImage(sitk.Resample(pictures[1], pictures[0], sitk.Transform(), sitk.sitkLinear, 0.0))
    difference = np.abs(result.warped.tensor[0].numpy() - expected)
    # at the very border of the moving image rounding decides between its edge and the fill
    assert np.quantile(difference, 0.99) < 1e-3 * expected.max() and expected.max() > 100
    assert result.report["folds_percent"] == 0


def test_images_aligned_by_the_scanner_are_more_alike_there_than_elsewhere(data_dir):
    t1, t2 = (read_image(data_dir / f"test/ms12/{name}.nii.gz")[0] for name in ("t1", "t2"))
    method = model_of(Constant(0.0, 0.0, 0.0))
    there = register(t1, t2, method, start="none").report["similarity"]["after"]
    for shift in ([6.0, 0, 0], [0, -6.0, 0], [0, 0, 6.0]):
        away = Affine.from_parts(torch.eye(3), torch.tensor(shift))
        assert register(t1, t2, method, start=away).report["similarity"]["after"] < there - 0.005


def test_ct_is_told_from_mr_and_thick_slices_from_volumes(data_dir):
    thick, _ = read_image(data_dir / "test/ct-mr21/mr.nii.gz")
    volume, _ = read_image(data_dir / "test/albert/05/t1.nii.gz")
    assert better_in_planes(thick.grid) and not better_in_planes(volume.grid)
    assert guess_modality(volume) == "MR"
