"""Images on disk, through SimpleITK."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..core import Grid, Image, InputError
from .atomic import replacing
from .nifti import check_nifti
from .picture import Picture, picture_of
from .pixel import PixelInfo
from .quiet import quiet
from .reading import count_frames, last_line, read_sitk

WRITTEN = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png")
_COMPRESSED = (".nrrd", ".nhdr", ".mha", ".mhd", ".png")

__all__ = [
    "WRITTEN", "count_frames", "grid_of", "read_image", "read_picture", "read_sitk", "sitk_from", "suffix_of",
    "write_image", "write_series_of", "write_sitk",
]  # fmt: skip


def read_picture(path: str | os.PathLike, channel: str | int | None = None, frame: int | None = None) -> Picture:
    """The image in a file (NIfTI, NRRD, MetaImage, PNG, DICOM, ...) or of a folder with one DICOM series: one channel
    of it to register, all of it to resample, and what was chosen to get there.

    channel: "luminance", "length" (root of the sum of squares) or a number from 0; None takes the luminance of a
    picture in colour and the length of any other vector. frame: of a sequence (4D file), counted from 0. A 3D file of
    one slice stays 3D; a 2D file stays 2D. The voxels keep the file's type where torch computes with it (see
    PixelInfo.in_memory). Raises InputError: missing, unreadable or cut off, not 2D or 3D, complex, empty, no such
    channel or frame, spacing of zero, singular axes, DICOM slices unevenly spaced.
    """
    path = Path(path)
    picture = read_sitk(path, frame)
    try:
        grid = grid_of(picture)
    except InputError as error:  # the lattice does not know its file
        raise InputError(str(error).replace("The image", f"The image {path}", 1)) from error
    return picture_of(picture, grid, path, channel, frame)


def read_image(path: str | os.PathLike) -> tuple[Image, PixelInfo]:
    """The image of one channel that read_picture finds, and the file's pixel type."""
    picture = read_picture(path)
    return picture.image, picture.pixel


def write_image(image: Image, path: str | os.PathLike, pixel: PixelInfo | None = None) -> None:
    """image as .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or (2D, 8 or 16 bit) .png; several channels as vector pixels.

    pixel: the type to write (the moving image's, say), rounded and clamped to it; by default the tensor's own.
    The file appears whole or not at all. Raises InputError for an unknown format, one that cannot hold the image, or
    an unwritable place.
    """
    path = Path(path)
    array = _array_of(image, pixel)
    _check_format(image.grid, array.dtype, path)
    write_sitk(sitk_from(array, image.grid), path)


def write_series_of(images: list[Image], path: str | os.PathLike, pixel: PixelInfo | None = None) -> None:
    """images on one 3D lattice as the frames of a 4D file (a step of 1 along the fourth axis); as write_image."""
    path = Path(path)
    grid = images[0].grid
    array = np.stack([_array_of(image, pixel) for image in images])  # (T, C, K, J, I)
    _check_format(grid, array.dtype, path)
    d = grid.dimension + 1
    vector = array.shape[1] > 1
    picture = sitk.GetImageFromArray(np.moveaxis(array, 1, -1) if vector else array[:, 0], isVector=vector)
    whole = np.eye(d)
    whole[:-1, :-1] = np.reshape(grid.direction, (d - 1, d - 1))
    picture.SetSpacing([*grid.spacing, 1.0])
    picture.SetOrigin([*grid.origin, 0.0])
    picture.SetDirection(whole.ravel().tolist())
    write_sitk(picture, path)


def write_sitk(picture: sitk.Image, path: Path) -> None:
    """picture to path, whole or not at all."""
    if picture.GetNumberOfComponentsPerPixel() > 1 and picture.GetSize()[2:] == (1,) and ".nii" in suffix_of(path):
        # ITK reads it back as a 2D image, in another place
        raise InputError(f"The output {path} cannot hold one slice of vectors; use .nrrd or .mha instead.")
    with replacing(path) as temporary:
        try:
            with quiet():
                sitk.WriteImage(picture, str(temporary), useCompression=suffix_of(path) in _COMPRESSED)
            check_nifti(temporary)  # of which ITK's writer says nothing when the disk is full
        except (RuntimeError, InputError) as error:
            reason = "it was cut off" if isinstance(error, InputError) else last_line(str(error))
            raise InputError(
                f"The output {path} cannot be written ({reason}); check the space on the disk, or write .nrrd instead."
            ) from error


def sitk_from(array: np.ndarray, grid: Grid) -> sitk.Image:
    """array (C, *grid.shape) as a SimpleITK image: scalar for one channel, else vector."""
    vector = array.shape[0] > 1
    picture = sitk.GetImageFromArray(np.moveaxis(array, 0, -1) if vector else array[0], isVector=vector)
    picture.SetSpacing(grid.spacing)
    picture.SetOrigin(grid.origin)
    picture.SetDirection(grid.direction)
    return picture


def grid_of(picture: sitk.Image) -> Grid:
    """The lattice of a SimpleITK image; axes that are not unit vectors (MetaImage allows them) hand their length to the
    spacing, which keeps every voxel where it is."""
    d = picture.GetDimension()
    axes = np.array(picture.GetDirection()).reshape(d, d)
    lengths = np.linalg.norm(axes, axis=0)
    spacing = np.array(picture.GetSpacing())
    if np.all(np.isfinite(lengths)) and lengths.min() > 0 and np.abs(lengths - 1).max() > 1e-5:
        axes, spacing = axes / lengths, spacing * lengths
    return Grid(picture.GetSize(), tuple(spacing.tolist()), picture.GetOrigin(), tuple(axes.ravel().tolist()))


def suffix_of(path: str | os.PathLike) -> str:
    """The format's suffix in lower case: ".nii.gz" for both its parts."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def _array_of(image: Image, pixel: PixelInfo | None) -> np.ndarray:
    array = image.tensor.detach().cpu()
    array = (array.float() if array.dtype in (torch.bfloat16, torch.float16) else array).numpy()
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    return array if pixel is None else pixel.convert(array)


def _check_format(grid: Grid, dtype: np.dtype, path: Path) -> None:
    if suffix_of(path) not in WRITTEN:
        raise InputError(f"The output {path} has no known image format; name it with one of {', '.join(WRITTEN)}.")
    if suffix_of(path) == ".png" and (grid.dimension != 2 or dtype not in (np.uint8, np.uint16)):
        raise InputError(f"The output {path} cannot hold this image: PNG takes 2D, 8 or 16 bit; use .nrrd instead.")
    axes = np.reshape(grid.direction, (grid.dimension,) * 2)
    if suffix_of(path) in (".nii", ".nii.gz") and np.abs(axes.T @ axes - np.eye(grid.dimension)).max() > 1e-4:
        # ITK would make the axes upright and so move the voxels
        raise InputError(f"The output {path} cannot hold sheared axes as ITK writes NIfTI; use .nrrd or .mha instead.")
