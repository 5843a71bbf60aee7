"""HDF5 transform files: small, the same bytes at any time, read by ITK (SimpleITK) number for number."""

from __future__ import annotations

import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image
from DeepMultiModalRegLib.io import write_transform
from DeepMultiModalRegLib.io.hdf5 import hdf5
from DeepMultiModalRegLib.io.transform import rounded, to_sitk


def waves(size: tuple[int, ...], amplitude: float = 6.0) -> Composite:
    grid = Grid.regular(size, 2.0)
    x = grid.points(torch.float64) / 25
    field = torch.stack([torch.sin(x[..., c] + c) for c in range(len(size))]).float()
    affine = torch.eye(len(size) + 1, dtype=torch.float64)
    affine[0, -1] = 1.5
    return Composite(DenseField(Image(amplitude * field, grid)), Affine(affine))


def parameters(transform: sitk.Transform) -> list[tuple]:
    both = sitk.CompositeTransform(transform)
    parts = [both.GetNthTransform(n) for n in range(both.GetNumberOfTransforms())]
    return [(part.GetName(), part.GetParameters(), part.GetFixedParameters()) for part in parts]


@pytest.mark.parametrize("size", [(5, 4), (5, 4, 3), (9, 8, 7), (61, 47), (40, 33, 37)], ids=str)
def test_itk_reads_every_number_as_it_was_written(size, tmp_path):
    """Sizes of a few numbers (stored as they are), one chunk, and many chunks of which the last is not full."""
    transform = waves(size)
    write_transform(transform, tmp_path / "t.h5")
    read = sitk.ReadTransform(str(tmp_path / "t.h5"))
    assert parameters(read) == parameters(to_sitk(rounded(transform)))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("count", [6, 255, 256, 4096, 4097, 300_001])
def test_arrays_of_any_length_are_read_as_they_are(kind, count, tmp_path):
    """The fixed parameters of a B-spline are free numbers: what comes back is what was put in."""
    mesh = np.array([1.0, 1.0])
    cells = (count // 2 - 3) if count > 8 else 1
    mesh[0] = max(1, cells // 4)
    knots = int((mesh[0] + 3) * 4)
    values = np.random.default_rng(1).normal(size=2 * knots).astype(kind)
    fixed = np.array([mesh[0] + 3, 4, -1, -1, 1, 1, 1, 0, 0, 1], dtype=np.float64)
    part = {"TransformType": "BSplineTransform_double_2_2", "TransformFixedParameters": fixed,
            "TransformParameters": values}  # fmt: skip
    (tmp_path / "t.h5").write_bytes(hdf5({"TransformGroup": {"0": part}}, together=1))
    read = sitk.ReadTransform(str(tmp_path / "t.h5"))
    assert np.array_equal(np.array(read.GetParameters()), values.astype(np.float64))


def test_a_transform_written_seconds_later_is_the_same_file(tmp_path):
    write_transform(waves((9, 8, 7)), tmp_path / "a.h5")
    time.sleep(1.1)  # ITK's stamps are whole seconds
    write_transform(waves((9, 8, 7)), tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_smooth_field_takes_a_fifth_of_what_itk_writes_at_most(tmp_path):
    transform = waves((64, 60, 56))
    write_transform(transform, tmp_path / "ours.h5")
    sitk.WriteTransform(to_sitk(transform), str(tmp_path / "itk.h5"))
    assert (tmp_path / "ours.h5").stat().st_size < (tmp_path / "itk.h5").stat().st_size / 5


def test_rounding_moves_no_point_by_more_than_a_thousandth_of_a_millimetre():
    transform = waves((20, 18, 16))
    x = transform.dense.field.grid.points(torch.float64)
    assert 0 < (rounded(transform).points(x) - transform.points(x)).norm(dim=-1).max() < 1e-3
