"""What is taken from a file of several channels, frames or labels; sheared axes stay where the file puts them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.core import Grid, Image, InputError
from DeepMultiModalRegLib.io import count_frames, read_picture, write_image, write_series_of

RNG = np.random.default_rng(4)


def refusal(path: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_picture(path, **options)
    return str(caught.value)


@pytest.fixture
def colours(tmp_path) -> tuple[Path, np.ndarray]:
    array = RNG.integers(0, 256, (6, 7, 8, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "rgb.nrrd"))
    return tmp_path / "rgb.nrrd", array


def test_of_a_picture_in_colour_the_luminance_is_registered_and_all_of_it_kept(colours):
    path, array = colours
    picture = read_picture(path)
    expected = 0.2126 * array[..., 0] + 0.7152 * array[..., 1] + 0.0722 * array[..., 2]
    np.testing.assert_allclose(picture.image.tensor[0].numpy(), expected, atol=1e-3)
    assert np.array_equal(picture.whole.tensor.numpy(), np.moveaxis(array, -1, 0)) and picture.pixel.dtype == "uint8"
    assert "luminance" in picture.notes[0] and "rgb.nrrd" in picture.notes[0]


def test_a_channel_or_the_length_can_be_asked_for(colours):
    path, array = colours
    assert np.array_equal(read_picture(path, channel=1).image.tensor[0].numpy(), array[..., 1])
    assert np.array_equal(read_picture(path, channel="2").image.tensor[0].numpy(), array[..., 2])
    length = read_picture(path, channel="length")
    np.testing.assert_allclose(length.image.tensor[0].numpy(), np.linalg.norm(array.astype(float), axis=-1), rtol=1e-5)
    assert "length" in length.notes[0] and "channel 1" in read_picture(path, channel=1).notes[0]


def test_of_a_vector_image_the_length_is_registered(tmp_path):
    array = RNG.normal(size=(5, 6, 7, 2)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "v.nii.gz"))
    picture = read_picture(tmp_path / "v.nii.gz")
    np.testing.assert_allclose(picture.image.tensor[0].numpy(), np.linalg.norm(array, axis=-1), rtol=1e-5)
    assert picture.whole.channels == 2 and "2 channels" in picture.notes[0]


@pytest.mark.parametrize("channel", ["3", 7, "-1", "red", "luminance "])
def test_a_channel_that_is_not_there_is_refused(colours, channel):
    sentence = refusal(colours[0], channel=channel)
    assert "no channel" in sentence and "it has 3" in sentence


def test_a_scalar_image_has_channel_0_only(tmp_path):
    sitk.WriteImage(sitk.Image([5, 4, 3], sitk.sitkInt16), str(tmp_path / "x.nrrd"))
    assert read_picture(tmp_path / "x.nrrd", channel=0).notes == ()
    assert "no channel 'luminance'" in refusal(tmp_path / "x.nrrd", channel="luminance")


def four_d(folder: Path, kind: str) -> tuple[Path, np.ndarray]:
    """A sequence as each format writes it, and its voxels (T, K, J, I)."""
    array = RNG.integers(-300, 300, (4, 5, 6, 7)).astype(np.int16)
    if kind != "seq.nrrd":
        picture = sitk.GetImageFromArray(array, isVector=False)
        picture.SetSpacing((1.5, 2.0, 2.5, 0.8))
        picture.SetOrigin((10, -20, 30, 0))
        sitk.WriteImage(picture, str(folder / f"x.{kind}"))
    else:  # as Slicer writes sequences: the frames' axis first
        header = (
            "NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 4 7 6 5\n"
            "space directions: none (1.5,0,0) (0,2,0) (0,0,2.5)\nkinds: list domain domain domain\nendian: little\n"
            "encoding: raw\nspace origin: (10,-20,30)\n\n"
        )
        (folder / "x.seq.nrrd").write_bytes(header.encode() + np.moveaxis(array, 0, -1).astype("<i2").tobytes())
    return folder / f"x.{kind}", array


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "mha", "seq.nrrd"])
def test_a_frame_of_a_sequence_is_a_volume_in_its_place(kind, tmp_path):
    path, array = four_d(tmp_path, kind)
    assert count_frames(path) == 4
    for frame in (0, 3):
        picture = read_picture(path, frame=frame)
        assert np.array_equal(picture.image.tensor[0].numpy(), array[frame])
        assert picture.image.grid.same_as(Grid((7, 6, 5), (1.5, 2.0, 2.5), (10, -20, 30), (1, 0, 0, 0, 1, 0, 0, 0, 1)))
        assert f"Frame {frame}" in picture.notes[0]
    assert "has no frame 4; it has 4" in refusal(path, frame=4)


def test_an_image_that_is_no_sequence_has_one_frame(tmp_path):
    sitk.WriteImage(sitk.Image([5, 4, 3], sitk.sitkInt16), str(tmp_path / "x.nrrd"))
    (tmp_path / "y.nrrd").write_bytes(b"nothing")
    assert [count_frames(tmp_path / name) for name in ("x.nrrd", "y.nrrd", "z.nrrd")] == [1, 1, 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_written_as_one_file_in_their_place(channels, tmp_path):
    grid = Grid((7, 6, 5), (1.5, 2.0, 2.5), (10, -20, 30), (0, -1, 0, 1, 0, 0, 0, 0, 1))
    frames = [Image(torch.full((channels, *grid.shape), float(n)), grid) for n in range(3)]
    write_series_of(frames, tmp_path / "x.nrrd")
    for n in range(3):
        picture = read_picture(tmp_path / "x.nrrd", frame=n)
        assert picture.whole.grid.same_as(grid) and bool((picture.whole.tensor == n).all())
        assert picture.whole.channels == (1 if channels == 1 else 3) or n == 0 or channels == 3


@pytest.mark.parametrize("marked", [True, False])
def test_a_file_that_calls_itself_a_label_map_is_one(marked, tmp_path):
    sitk.WriteImage(sitk.Image([5, 4, 3], sitk.sitkUInt8), str(tmp_path / "x.nii"))
    raw = bytearray((tmp_path / "x.nii").read_bytes())
    struct.pack_into("<h", raw, 68, 1002 if marked else 0)  # NIFTI_INTENT_LABEL
    (tmp_path / "x.nii").write_bytes(raw)
    assert read_picture(tmp_path / "x.nii").labels is marked
    picture = sitk.Image([5, 4, 3], sitk.sitkUInt8)
    if marked:
        picture.SetMetaData("Segment0_ID", "Segment_1")
    sitk.WriteImage(picture, str(tmp_path / "x.seg.nrrd"))
    assert read_picture(tmp_path / "x.seg.nrrd").labels is marked


SHEARED = np.array([[-0.9, -0.3, 0.1], [0.1, -1.9, 0.4], [0.05, 0.2, 2.8]])  # columns: steps in RAS mm
ORIGIN = (5.0, -6.0, 7.0)


def sheared_nifti(path: Path, rows: np.ndarray = SHEARED) -> np.ndarray:
    """A NIfTI file of 7x6x5 voxels with the sform alone; its voxels (K, J, I)."""
    array = RNG.integers(0, 1000, (5, 6, 7)).astype("<i2")
    affine = np.concatenate([rows, np.array(ORIGIN)[:, None]], 1)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 7, 6, 5, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, *np.linalg.norm(rows, axis=0), 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[123] = 2
    struct.pack_into("<hh", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, *affine.ravel())
    header[344:348] = b"n+1\0"
    path.write_bytes(bytes(header) + array.tobytes())
    return array


def test_a_sheared_nifti_lies_where_its_sform_says(tmp_path):
    array = sheared_nifti(tmp_path / "x.nii")
    image = read_picture(tmp_path / "x.nii").image
    assert np.array_equal(image.tensor[0].numpy(), array)
    flip = np.diag([-1.0, -1.0, 1.0])
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (6, 5, 4)):
        here = image.grid.matrix @ torch.tensor([*index, 1.0], dtype=torch.float64)
        np.testing.assert_allclose(here[:3], flip @ (SHEARED @ np.array(index) + ORIGIN), atol=1e-5)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_sheared_axes_are_written_and_read_in_the_formats_that_hold_them(suffix, tmp_path):
    sheared_nifti(tmp_path / "x.nii")
    image = read_picture(tmp_path / "x.nii").image
    write_image(image, tmp_path / f"y{suffix}")
    again = read_picture(tmp_path / f"y{suffix}").image
    assert again.grid.same_as(image.grid) and torch.equal(again.tensor, image.tensor)
    with pytest.raises(InputError, match="sheared"):
        write_image(image, tmp_path / "y.nii.gz")
    assert not (tmp_path / "y.nii.gz").exists()


def test_an_sform_that_places_no_voxel_is_refused(tmp_path):
    sheared_nifti(tmp_path / "x.nii", rows=np.array([[1.0, 1.0, 0.1], [0.5, 0.5, 0.4], [0.05, 0.05, 2.8]]))
    assert "singular" in refusal(tmp_path / "x.nii")
