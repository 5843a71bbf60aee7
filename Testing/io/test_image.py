"""What is written is read again: voxels, pixel type and lattice, by this library and by SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lattices import LATTICES, LATTICES_2D, LATTICES_3D, random_image, sitk_image

from DeepMultiModalRegLib.core import Grid, Image
from DeepMultiModalRegLib.io import PixelInfo, read_image, write_image

VOLUME_SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"]
every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())


def largest_distance(first: Grid, second: Grid) -> float:
    assert first.size == second.size
    return float((first.points(torch.float64) - second.points(torch.float64)).abs().max())


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@every_lattice
def test_an_image_written_is_read_by_simpleitk_with_the_same_voxels_in_the_same_places(grid, suffix, tmp_path) -> None:
    image = random_image(grid, seed=3)
    path = tmp_path / f"image{suffix}"
    write_image(image, path)
    read = sitk.ReadImage(str(path))
    assert read.GetDimension() == grid.dimension
    assert np.array_equal(sitk.GetArrayFromImage(read), image.tensor[0].numpy())
    for corner in ([0] * grid.dimension, [n - 1 for n in grid.size], [n // 2 for n in grid.size]):
        expected = grid.matrix[:-1] @ torch.tensor([*corner, 1.0], dtype=torch.float64)
        assert np.abs(np.array(read.TransformIndexToPhysicalPoint(corner)) - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@every_lattice
def test_an_image_written_by_simpleitk_is_read_with_the_same_voxels_in_the_same_places(grid, suffix, tmp_path) -> None:
    image = random_image(grid, seed=4)
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(sitk_image(image), str(path))
    read, pixel = read_image(path)
    assert pixel == PixelInfo("float32")
    assert torch.equal(read.tensor, image.tensor)
    assert largest_distance(read.grid, grid) < 1e-4


def test_one_slice_stays_a_volume_and_a_plane_stays_a_plane(tmp_path) -> None:
    for grid in (LATTICES_3D["one_slice"], LATTICES_2D["rotated_2d"]):
        for suffix in VOLUME_SUFFIXES:
            write_image(random_image(grid), tmp_path / f"x{suffix}")
            assert read_image(tmp_path / f"x{suffix}")[0].grid.dimension == grid.dimension


def test_a_third_axis_and_a_time_of_one_frame_are_a_volume(tmp_path) -> None:
    four = sitk.Image([5, 4, 3, 1], sitk.sitkInt16)
    four[2, 1, 1, 0] = 7
    sitk.WriteImage(four, str(tmp_path / "four.nrrd"))
    assert sitk.ReadImage(str(tmp_path / "four.nrrd")).GetDimension() == 4
    image, _ = read_image(tmp_path / "four.nrrd")
    assert image.grid.size == (5, 4, 3) and image.tensor[0, 1, 1, 2] == 7


@pytest.mark.parametrize("name", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"])
def test_every_pixel_type_keeps_its_extreme_values_and_comes_back(name, tmp_path) -> None:
    kind = np.dtype(name)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    array = np.zeros((3, 4, 5), kind)
    array[0, 0, 0], array[2, 3, 4] = limits.min, limits.max
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "in.nrrd"))
    image, pixel = read_image(tmp_path / "in.nrrd")
    assert pixel.dtype == name
    assert image.tensor.min().item() == limits.min and image.tensor.max().item() == limits.max
    write_image(image, tmp_path / "out.nrrd", pixel)
    out = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nrrd")))
    assert out.dtype == kind and np.array_equal(out, array)


def test_whole_number_types_round_and_clamp(tmp_path) -> None:
    values = torch.tensor([-40000.0, -1.6, -0.4, 0.6, 2.5, 3.5, 99999.0, float("nan")]).reshape(1, 1, 2, 4)
    grid = Grid.regular((4, 2, 1), 1.0)
    expected = {"int16": [-32768, -2, 0, 1, 2, 4, 32767, 0], "uint8": [0, 0, 0, 1, 2, 4, 255, 0]}
    for name, wanted in expected.items():
        write_image(Image(values, grid), tmp_path / "x.nii.gz", PixelInfo(name))
        out = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.nii.gz")))
        assert out.dtype == np.dtype(name) and out.ravel().tolist() == wanted


def test_the_largest_64_bit_numbers_do_not_wrap_around() -> None:
    out = PixelInfo("int64").convert(np.array([1e30, -1e30, 5.4, 2.0**62]))
    assert out.tolist() == [np.iinfo(np.int64).max, np.iinfo(np.int64).min, 5, 2**62]


def test_half_precision_and_masks_are_written_in_types_that_files_have(tmp_path) -> None:
    grid = Grid.regular((4, 3, 2), 1.0)
    for dtype, wanted in ((torch.bfloat16, "float32"), (torch.float16, "float32"), (torch.bool, "uint8")):
        write_image(Image(torch.ones((1, 2, 3, 4)).to(dtype), grid), tmp_path / "x.nrrd")
        image, pixel = read_image(tmp_path / "x.nrrd")
        assert pixel.dtype == wanted and bool((image.tensor == 1).all())


@pytest.mark.parametrize("name", ["uint8", "uint16"])
def test_a_png_slice_goes_both_ways(name, tmp_path) -> None:
    array = np.arange(12 * 16).reshape(12, 16).astype(name)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "in.png"))
    image, pixel = read_image(tmp_path / "in.png")
    assert image.grid.size == (16, 12) and pixel.dtype == name
    write_image(image, tmp_path / "out.png", pixel)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.png"))), array)


@pytest.mark.parametrize("components", [3, 4])
def test_a_grey_picture_saved_in_colour_is_grey(components, tmp_path) -> None:
    grey = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    colours = np.stack([grey] * 3 + [np.full_like(grey, 255)] * (components - 3), -1)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "x.png"))
    image, pixel = read_image(tmp_path / "x.png")
    assert np.array_equal(image.tensor.numpy(), grey[None]) and pixel.dtype == "uint8"


def test_axes_longer_than_one_hand_their_length_to_the_spacing(tmp_path) -> None:
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 0 2 0 -3 0 0 0 0 1\nOffset = 5 6 7\n"
        "ElementSpacing = 1 1 1.5\nDimSize = 3 4 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "x.mha").write_bytes(header.encode() + bytes(24))
    image, _ = read_image(tmp_path / "x.mha")
    itk = sitk.ReadImage(str(tmp_path / "x.mha"))
    assert image.grid.spacing == (2.0, 3.0, 1.5)
    for index in ((0, 0, 0), (2, 0, 0), (0, 3, 0), (2, 3, 1)):
        here = image.grid.matrix[:-1] @ torch.tensor([*index, 1.0], dtype=torch.float64)
        assert np.allclose(here, itk.TransformIndexToPhysicalPoint(index), atol=1e-9)


def test_the_real_test_images_are_read_as_simpleitk_reads_them(data_dir) -> None:
    for name in ("ms12/t1.nii.gz", "cord/t2.nii.gz", "ct-mr21/ct.nii.gz"):
        image, pixel = read_image(data_dir / "test" / name)
        itk = sitk.ReadImage(str(data_dir / "test" / name))
        assert np.array_equal(image.tensor[0].numpy(), sitk.GetArrayFromImage(itk)), name
        last = [n - 1 for n in itk.GetSize()]
        here = image.grid.matrix[:-1] @ torch.tensor([*last, 1.0], dtype=torch.float64)
        assert np.allclose(here, itk.TransformIndexToPhysicalPoint(last), atol=1e-4), name
        assert pixel.dtype == sitk.GetArrayViewFromImage(itk).dtype.name
