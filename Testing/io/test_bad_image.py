"""Every bad file is answered by one sentence that names the file, the cause and the remedy."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.io import count_frames, read_image

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace directions: {}\n"
    "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (0,0,0)\n\n"
)
MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = {}\nOffset = 0 0 0\nElementSpacing = {}\n"
    "DimSize = {}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
EYE = "1 0 0 0 1 0 0 0 1"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and caught.value.exit_code == 2
    return sentence


def noise(size: tuple[int, ...], kind: str = "int16") -> sitk.Image:
    array = np.random.default_rng(0).integers(0, 1000, size).astype(kind)
    return sitk.GetImageFromArray(array)


def test_a_missing_file_is_named(tmp_path) -> None:
    assert "absent.nii.gz does not exist" in refusal(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.nrrd", "x.mha", "x.png", "x.dcm", "x"])
@pytest.mark.parametrize("content", [b"", b"not an image at all", bytes(1000)], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_image_is_refused(name, content, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    assert name in refusal(tmp_path / name)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".png"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
def test_a_file_that_is_cut_off_is_refused_and_never_read_as_zeros(suffix, compressed, part, tmp_path) -> None:
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(noise((40, 30), "uint8") if suffix == ".png" else noise((12, 14, 10)), str(path), compressed)
    read_image(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert path.name in refusal(path)


def test_a_cut_off_nifti_of_version_2_or_the_other_byte_order_is_refused(tmp_path) -> None:
    body = np.arange(60, dtype=">i2").tobytes()
    header = bytearray(352)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">8h", header, 40, 3, 5, 4, 3, 1, 1, 1, 1)
    struct.pack_into(">hh", header, 70, 4, 16)
    struct.pack_into(">8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into(">f", header, 108, 352)
    header[344:348] = b"n+1\0"
    path = tmp_path / "big.nii"
    path.write_bytes(bytes(header) + body)
    assert read_image(path)[0].tensor[0, 2, 3, 4] == 59
    path.write_bytes(bytes(header) + body[:-2])
    assert "cut off: 470 of 472 bytes" in refusal(path)

    header = bytearray(544)
    struct.pack_into("<i", header, 0, 540)
    header[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into("<hh", header, 12, 4, 16)
    struct.pack_into("<8q", header, 16, 3, 5, 4, 3, 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<q", header, 168, 544)
    path = tmp_path / "two.nii"
    path.write_bytes(bytes(header) + np.arange(59, dtype="<i2").tobytes())
    assert "cut off: 662 of 664 bytes" in refusal(path)
    path.write_bytes(bytes(header) + np.arange(60, dtype="<i2").tobytes())
    assert "version 2" in refusal(path)  # ITK does not read it


def test_a_damaged_compressed_nifti_is_refused(tmp_path) -> None:
    path = tmp_path / "x.nii.gz"
    sitk.WriteImage(noise((12, 14, 10)), str(path))
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_a_zero_spacing_is_refused_in_every_format(tmp_path) -> None:
    (tmp_path / "x.nrrd").write_bytes(NRRD.format("(0,0,0) (0,1,0) (0,0,1)").encode() + bytes(16))
    (tmp_path / "x.mha").write_bytes(MHA.format(EYE, "1 0 1", "2 2 2").encode() + bytes(16))
    sitk.WriteImage(noise((6, 6, 6)), str(tmp_path / "x.nii"))
    content = bytearray((tmp_path / "x.nii").read_bytes())
    struct.pack_into("<f", content, 80, 0.0)
    (tmp_path / "x.nii").write_bytes(content)
    for name in ("x.nrrd", "x.mha", "x.nii"):
        assert "spacing of zero" in refusal(tmp_path / name)


def test_singular_axes_are_refused_in_every_format(tmp_path) -> None:
    (tmp_path / "x.nrrd").write_bytes(NRRD.format("(1,0,0) (1,0,0) (0,0,1)").encode() + bytes(16))
    (tmp_path / "x.mha").write_bytes(MHA.format("1 0 0 1 0 0 0 0 1", "1 1 1", "2 2 2").encode() + bytes(16))
    sitk.WriteImage(noise((6, 6, 6)), str(tmp_path / "x.nii"))
    content = bytearray((tmp_path / "x.nii").read_bytes())
    struct.pack_into("<h", content, 252, 0)  # no qform, and a first row of zeros in the sform
    struct.pack_into("<4f", content, 280, 0, 0, 0, 0)
    (tmp_path / "x.nii").write_bytes(content)
    for name in ("x.nrrd", "x.mha", "x.nii"):
        assert "singular" in refusal(tmp_path / name)


def test_axes_that_are_not_numbers_are_refused(tmp_path) -> None:
    (tmp_path / "x.mha").write_bytes(MHA.format("nan 0 0 0 1 0 0 0 1", "1 1 1", "2 2 2").encode() + bytes(16))
    refusal(tmp_path / "x.mha")


@pytest.mark.parametrize("place, code", [(80, None), (268, 252), (276, 252), (280, 254), (324, 254)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_nifti_placed_by_numbers_that_are_none_is_refused_at_once(place, code, value, tmp_path) -> None:
    """ITK 5.4 reads some of these for ever."""
    sitk.WriteImage(noise((6, 6, 6)), str(tmp_path / "x.nii"))
    content = bytearray((tmp_path / "x.nii").read_bytes())
    if code is not None:
        struct.pack_into("<hh", content, 252, int(code == 252), int(code == 254))
    struct.pack_into("<f", content, place, value)
    (tmp_path / "x.nii").write_bytes(content)
    assert "not finite" in refusal(tmp_path / "x.nii")
    assert count_frames(tmp_path / "x.nii") == 1  # it looks into the header before anything is refused


@pytest.mark.parametrize("count", ["-3", "0", "11", "3000000000", "x", ""])
def test_a_metaimage_of_impossible_dimensions_is_refused_before_itk_falls_over_it(count, tmp_path) -> None:
    text = MHA.format(EYE, "1 1 1", "2 2 2").replace("NDims = 3", f"NDims = {count}")
    (tmp_path / "x.mha").write_bytes(text.encode() + bytes(16))
    assert "dimensions by its header" in refusal(tmp_path / "x.mha")


@pytest.mark.parametrize("size", [30044, 0, -1])
def test_a_file_called_nifti_that_is_none_is_refused_at_once(size, tmp_path) -> None:
    """ITK 5.4 takes some of these for NIfTI files, and reads them for ever."""
    sitk.WriteImage(noise((6, 6, 6)), str(tmp_path / "x.nii"))
    content = bytearray((tmp_path / "x.nii").read_bytes())
    struct.pack_into("<i", content, 0, size)
    (tmp_path / "x.nii").write_bytes(content)
    assert "no NIfTI file" in refusal(tmp_path / "x.nii")


@pytest.mark.parametrize("encoding", ["txt", "text", "ascii", "ASCII"])
def test_a_nrrd_whose_voxels_are_not_the_text_they_should_be_is_refused_before_itk_falls_over_it(encoding, tmp_path):
    header = NRRD.format("(1,0,0) (0,1,0) (0,0,1)").replace("encoding: raw", f"encoding: {encoding}").encode()
    (tmp_path / "x.nrrd").write_bytes(header + b"1 2 3 4\n5 6 7 8\n")
    assert read_image(tmp_path / "x.nrrd")[0].tensor.flatten().tolist() == list(range(1, 9))
    for voxels in (bytes(range(16)), b"1 2 3 4 5 6 7", b"1 2 3 4 5 6 7 x", b""):
        (tmp_path / "x.nrrd").write_bytes(header + voxels)
        assert "not the text" in refusal(tmp_path / "x.nrrd")
    apart = header.replace(b"encoding", b"data file: x.txt\nencoding")
    (tmp_path / "x.nhdr").write_bytes(apart)
    assert "cannot be read" in refusal(tmp_path / "x.nhdr")
    (tmp_path / "x.txt").write_bytes(bytes(16))
    assert "not the text" in refusal(tmp_path / "x.nhdr")


def test_an_image_without_voxels_is_refused(tmp_path) -> None:
    (tmp_path / "x.mha").write_bytes(MHA.format(EYE, "1 1 1", "2 0 2").encode() + bytes(16))
    sentence = refusal(tmp_path / "x.mha")
    assert "empty" in sentence and "x.mha" in sentence


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_time_series_without_a_frame_is_refused_with_its_size(suffix, tmp_path) -> None:
    sitk.WriteImage(sitk.Image([5, 4, 3, 2], sitk.sitkInt16), str(tmp_path / f"x{suffix}"))
    sentence = refusal(tmp_path / f"x{suffix}")
    assert "sequence of 2 frames (5x4x3x2)" in sentence and "--moving-frame" in sentence


def test_a_complex_image_is_refused_with_the_remedy(tmp_path) -> None:
    sitk.WriteImage(sitk.Image([5, 4, 3], sitk.sitkComplexFloat32), str(tmp_path / "complex.nii.gz"))
    assert "magnitude" in refusal(tmp_path / "complex.nii.gz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_what_is_neither_a_file_nor_a_folder_is_refused_at_once(tmp_path) -> None:
    os.mkfifo(tmp_path / "x.nii")
    os.symlink(tmp_path / "y.nii", tmp_path / "y.nii")
    assert "neither a file nor a folder" in refusal(tmp_path / "x.nii")
    assert "cannot be opened" in refusal(tmp_path / "y.nii")
    assert "cannot be opened" in refusal(tmp_path / ("n" * 400 + ".nii"))
