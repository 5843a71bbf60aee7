"""Images on disk, through SimpleITK."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..core import Grid, Image, InputError
from .atomic import replacing
from .nifti import check_nifti
from .pixel import PixelInfo

WRITTEN = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png")
_COMPRESSED = (".nrrd", ".nhdr", ".mha", ".mhd", ".png")


def read_image(path: str | os.PathLike) -> tuple[Image, PixelInfo]:
    """The scalar image in a file (NIfTI, NRRD, MetaImage, PNG, DICOM, ...) or of a folder with one DICOM series.

    Returns an Image of one channel, on its lattice in LPS mm, and the file's pixel type. A 3D file of one slice stays
    3D; a 2D file stays 2D. The voxels keep the file's type where torch computes with it (see PixelInfo.in_memory).
    A grey picture that was saved in colour (three equal components) is read as grey.
    Raises InputError: missing, unreadable or cut off, not 2D or 3D, colour or several components, complex, empty,
    spacing of zero, singular axes, DICOM slices unevenly spaced.
    """
    path = Path(path)
    picture = _one_component(read_sitk(path), path)
    array = sitk.GetArrayFromImage(picture)
    pixel = PixelInfo(array.dtype.name)
    voxels = torch.from_numpy(np.ascontiguousarray(array.astype(pixel.in_memory, copy=False)))
    try:
        return Image(voxels[None], grid_of(picture)), pixel
    except InputError as error:  # the lattice does not know its file
        raise InputError(str(error).replace("The image", f"The image {path}", 1)) from error


def write_image(image: Image, path: str | os.PathLike, pixel: PixelInfo | None = None) -> None:
    """image as .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or (2D, 8 or 16 bit) .png; several channels as vector pixels.

    pixel: the type to write (the moving image's, say), rounded and clamped to it; by default the tensor's own.
    The file appears whole or not at all. Raises InputError for an unknown format or an unwritable place.
    """
    path = Path(path)
    if suffix_of(path) not in WRITTEN:
        raise InputError(f"The output {path} has no known image format; name it with one of {', '.join(WRITTEN)}.")
    array = image.tensor.detach().cpu()
    array = (array.float() if array.dtype in (torch.bfloat16, torch.float16) else array).numpy()
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    if pixel is not None:
        array = pixel.convert(array)
    if suffix_of(path) == ".png" and (image.grid.dimension != 2 or array.dtype not in (np.uint8, np.uint16)):
        raise InputError(f"The output {path} cannot hold this image: PNG takes 2D, 8 or 16 bit; use .nrrd instead.")
    write_sitk(sitk_from(array, image.grid), path)


def read_sitk(path: Path) -> sitk.Image:
    """The file's or series' SimpleITK image, whatever its components; InputError where it cannot be read."""
    if not path.exists():
        raise InputError(f"The image {path} does not exist; check its name and folder.")
    try:
        if path.is_dir():
            return _read_series(path)
        check_nifti(path)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        _refuse_dimensions(reader.GetSize(), path)
        picture = reader.Execute()
    except (RuntimeError, MemoryError) as error:
        raise InputError(_reason(path, str(error))) from error
    return _without_trailing_ones(picture)


def write_sitk(picture: sitk.Image, path: Path) -> None:
    """picture to path, whole or not at all."""
    if picture.GetNumberOfComponentsPerPixel() > 1 and picture.GetSize()[2:] == (1,) and ".nii" in suffix_of(path):
        # ITK reads it back as a 2D image, in another place
        raise InputError(f"The output {path} cannot hold one slice of vectors; use .nrrd or .mha instead.")
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(picture, str(temporary), useCompression=suffix_of(path) in _COMPRESSED)
        except RuntimeError as error:
            raise InputError(
                f"The output {path} cannot be written ({_last_line(str(error))}); check the space on the disk, "
                "or write .nrrd instead."
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


def _read_series(folder: Path) -> sitk.Image:
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise InputError(f"The folder {folder} holds no DICOM series; give a DICOM folder or an image file.")
    if len(series) > 1:
        raise InputError(
            f"The folder {folder} holds {len(series)} DICOM series; put the one to register into a folder of its own."
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    picture = reader.Execute()
    _refuse_dimensions(picture.GetSize(), folder)
    key = "0020|0032"  # ImagePositionPatient
    if len(files) > 2 and all(reader.HasMetaDataKey(n, key) for n in range(len(files))):
        position = np.array([[float(v) for v in reader.GetMetaData(n, key).split("\\")] for n in range(len(files))])
        gaps = np.linalg.norm(np.diff(position, axis=0), axis=1)
        if gaps.max() > 1.5 * gaps.min():
            raise InputError(
                f"The DICOM slices in {folder} are not evenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm apart): "
                "some are missing or doubled. Export the whole series again, or resample it."
            )
    return _without_trailing_ones(picture)


def _refuse_dimensions(size: tuple[int, ...], path: Path) -> None:
    if len(size) < 2 or math.prod(size[3:]) > 1:
        shape = "x".join(map(str, size))
        raise InputError(
            f"The image {path} has {len(size)} dimensions ({shape}); extract one 2D or 3D frame of it and give that."
        )


def _without_trailing_ones(picture: sitk.Image) -> sitk.Image:
    if picture.GetDimension() <= 3:
        return picture
    size = list(picture.GetSize())
    return sitk.Extract(picture, size[:3] + [0] * (len(size) - 3), [0] * len(size))


def _one_component(picture: sitk.Image, path: Path) -> sitk.Image:
    components = picture.GetNumberOfComponentsPerPixel()
    if components > 1:
        if components in (3, 4):
            colours = sitk.GetArrayViewFromImage(picture)[..., :3]
            if (colours == colours[..., :1]).all():
                return sitk.VectorIndexSelectionCast(picture, 0)
        raise InputError(
            f"The image {path} is in colour or has several components a voxel; convert it to one component first "
            "(in Slicer: module Vector to Scalar Volume)."
        )
    if "complex" in picture.GetPixelIDTypeAsString():
        raise InputError(f"The image {path} has complex voxels; save its magnitude and give that.")
    return picture


def _reason(path: Path, message: str) -> str:
    if "spacing" in message.lower():
        return f"The image {path} has a voxel spacing of zero; repair its header with the true spacing in mm."
    if "determinant" in message or "orthonormal" in message:
        return f"The image {path} has singular or sheared axes (they place no voxel); repair its header."
    return f"The image {path} cannot be read ({_last_line(message)}); it may be damaged, cut off, or not an image."


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    return lines[-1].removeprefix("ITK ERROR: ").removeprefix("sitk::ERROR: ").rstrip(".")
