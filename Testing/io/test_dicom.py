"""A folder with one DICOM series is a volume; anything else in a folder is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.io import read_image

AXES = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # columns: row, column, slice direction


def write_series(folder: Path, slices: list[int], uid: str = "1.2.826.1", seed: int = 0) -> np.ndarray:
    """One file a slice, 2.5 mm apart, with the slice's number in its voxels; returns the voxels (K, J, I)."""
    folder.mkdir(exist_ok=True)
    array = np.random.default_rng(seed).integers(-100, 1000, (max(slices) + 1, 6, 8)).astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in slices:
        position = np.array([10.0, -20.0, 30.0]) + AXES[:, 2] * 2.5 * k
        tags = {
            "0008|0060": "MR", "0020|000e": uid, "0008|0018": f"{uid}.{k + 1}", "0020|0013": str(k),
            "0020|0032": "\\".join(map(str, position)), "0020|0037": "\\".join(map(str, AXES[:, :2].T.ravel())),
        }
        picture = sitk.GetImageFromArray(array[k][None])
        picture.SetSpacing((0.5, 0.75, 2.5))
        picture.SetOrigin(position.tolist())
        picture.SetDirection(AXES.ravel().tolist())
        for tag, value in tags.items():
            picture.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{(k * 7) % 23:02d}-{uid[-1]}.dcm"))  # the names' order is not the slices'
        writer.Execute(picture)
    return array


def test_a_dicom_folder_is_read_as_one_volume_in_its_place(tmp_path) -> None:
    array = write_series(tmp_path / "series", list(range(5)))
    image, pixel = read_image(tmp_path / "series")
    assert np.array_equal(image.tensor[0].numpy(), array) and pixel.dtype == "int16"
    far = image.grid.matrix[:-1] @ torch.tensor([7.0, 5.0, 4.0, 1.0], dtype=torch.float64)
    expected = np.array([10, -20, 30]) + AXES @ np.array([7 * 0.5, 5 * 0.75, 4 * 2.5])
    assert np.allclose(far, expected, atol=1e-4)


def test_one_dicom_file_is_a_volume_of_one_slice(tmp_path) -> None:
    write_series(tmp_path / "series", [0])
    image, _ = read_image(next((tmp_path / "series").iterdir()))
    assert image.grid.size == (8, 6, 1)


def test_a_folder_with_two_series_is_refused(tmp_path) -> None:
    write_series(tmp_path / "series", [0, 1, 2], "1.2.826.1")
    write_series(tmp_path / "series", [0, 1, 2], "1.2.826.2")
    with pytest.raises(InputError, match="2 DICOM series"):
        read_image(tmp_path / "series")


def test_a_series_with_missing_slices_is_refused(tmp_path) -> None:
    write_series(tmp_path / "series", [0, 1, 2, 5, 6, 7])
    with pytest.raises(InputError, match=r"not evenly spaced \(2.50 to 7.50 mm apart\)"):
        read_image(tmp_path / "series")


def test_a_folder_without_dicom_is_refused(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="holds no DICOM series"):
        read_image(tmp_path)
