"""HDF5 transform files without time stamps: same bytes at any time, still read by SimpleITK."""

from __future__ import annotations

import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image
from DeepMultiModalRegLib.io import write_transform
from DeepMultiModalRegLib.io.hdf5 import erase_times, lookup3


def wavy() -> Composite:
    grid = Grid((9, 8, 7), (2.0, 2.1, 1.9), (3.0, -4.0, 5.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    field = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *grid.shape)).astype(np.float32))
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 3] = 1.5
    return Composite(DenseField(Image(field, grid)), Affine(affine))


@pytest.mark.parametrize(
    "data, expected",
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],  # printed in Jenkins' own lookup3.c
)
def test_the_checksum_is_jenkins_lookup3(data, expected):
    assert lookup3(data) == expected


def test_a_transform_written_seconds_later_is_the_same_file(tmp_path):
    write_transform(wavy(), tmp_path / "a.h5")
    time.sleep(1.1)  # the stamps are whole seconds
    sitk.WriteTransform(sitk.ReadTransform(str(tmp_path / "a.h5")), str(tmp_path / "stamped.h5"))
    write_transform(wavy(), tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert (tmp_path / "a.h5").read_bytes() != (tmp_path / "stamped.h5").read_bytes()  # without it they differ


def test_what_is_read_back_is_what_was_written(tmp_path):
    write_transform(wavy(), tmp_path / "a.h5")
    read = sitk.ReadTransform(str(tmp_path / "a.h5"))
    for point in ((5.0, 2.0, 9.0), (11.0, 0.0, 12.0)):
        expected = wavy().points(torch.tensor([point], dtype=torch.float64))[0].numpy()
        np.testing.assert_allclose(read.TransformPoint(point), expected, atol=1e-4)


def test_numbers_that_look_like_a_header_are_left_alone(tmp_path):
    (tmp_path / "x").write_bytes(b"....OHDR\x02\x20" + bytes(range(200)))
    before = (tmp_path / "x").read_bytes()
    assert erase_times(tmp_path / "x") == 0 and (tmp_path / "x").read_bytes() == before
