"""Reading: a file or a DICOM folder as a SimpleITK image of two or three dimensions, or a sentence why not."""

from __future__ import annotations

import math
import os
import re
import stat
from pathlib import Path

import SimpleITK as sitk

from ..core import InputError
from .meta import check_meta
from .nifti import axes_of_nifti, check_nifti
from .nrrd import check_nrrd
from .quiet import quiet
from .series import read_series

# ITK's warnings are about what it repairs by itself; what matters is refused here in a sentence
sitk.ProcessObject.SetGlobalWarningDisplay(False)
_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"  # environment variable of ITK: read voxels whose axes it cannot hold


def read_sitk(path: Path, frame: int | None = None) -> sitk.Image:
    """The image in a file or in a folder with one DICOM series, whatever its components; one frame of a sequence.

    The axes of a NIfTI file may be sheared. Raises InputError where it cannot be read, for a sequence without a
    `frame` (counted from 0), and for a frame that it does not have.
    """
    _check_there(path)
    try:
        with quiet():
            if path.is_dir():
                picture = read_series(path)
                _frames(path, picture)
            else:
                _check_header(path)
                _frames(path, _opened(path))
                picture = _executed(path)
    except (RuntimeError, MemoryError, UnicodeDecodeError) as error:  # ITK's words may quote the file's bytes
        raise InputError(_reason(path, str(error))) from error
    return _one_frame(picture, path, frame)


def _check_there(path: Path) -> None:
    """Raises InputError for a path that is neither a file nor a folder: a pipe or a device would be read for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise InputError(f"The image {path} does not exist; check its name and folder.") from error
    except (OSError, ValueError) as error:  # a name too long, a zero byte, no permission, links in a circle
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"The image {path} cannot be opened ({reason}); check its name and folder.") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"The image {path} is neither a file nor a folder; give an image.")


def count_frames(path: Path) -> int:
    """How many frames a sequence (4D file) holds, by its header alone; 1 for anything else, readable or not."""
    try:
        _check_there(path)
        if not path.is_dir():
            _check_header(path, whole=False)
        with quiet():
            return 1 if path.is_dir() else _frames(path, _opened(path))
    except (RuntimeError, MemoryError, UnicodeDecodeError, InputError):
        return 1


def _check_header(path: Path, whole: bool = True) -> None:
    """Raises InputError for what ITK would read wrongly, for ever, or not survive."""
    check_nifti(path, whole)
    check_meta(path)
    check_nrrd(path)


def _opened(path: Path) -> sitk.ImageFileReader:
    """A reader that has read the header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if not _sheared(error):
            raise
        before = os.environ.get(_PERMISSIVE)
        os.environ[_PERMISSIVE] = "1"
        try:
            reader.ReadImageInformation()
        finally:
            os.environ.pop(_PERMISSIVE) if before is None else os.environ.update({_PERMISSIVE: before})
    return reader


def _executed(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        axes = axes_of_nifti(path) if _sheared(error) else None
        if axes is None:
            raise
    os.environ[_PERMISSIVE] = "1"
    try:
        picture = sitk.ReadImage(str(path))
    finally:
        os.environ.pop(_PERMISSIVE)
    # ITK has read the voxels and made the axes upright: put them back as the file has them
    d = picture.GetDimension()
    spacing, origin, direction = axes
    whole = [float(r == c) for r in range(d) for c in range(d)]
    for row in range(3):
        whole[row * d : row * d + 3] = direction[3 * row : 3 * row + 3]
    picture.SetSpacing([*spacing, *picture.GetSpacing()[3:]])
    picture.SetOrigin([*origin, *picture.GetOrigin()[3:]])
    picture.SetDirection(whole)
    return picture


def _sheared(error: BaseException) -> bool:
    return "orthonormal" in str(error)


def _frames(path: Path, picture: sitk.Image | sitk.ImageFileReader) -> int:
    """Frames of an image of which at least the header was read. Raises InputError for one that is no 2D, 3D or 4D."""
    size = picture.GetSize()
    if len(size) < 2 or math.prod(size[4:]) > 1:
        shape = "x".join(map(str, size))
        raise InputError(
            f"The image {path} has {len(size)} dimensions ({shape}); extract one 2D or 3D frame of it and give that."
        )
    return _listed(picture) if _listed(picture) else size[3] if len(size) > 3 else 1


def _listed(picture: sitk.Image | sitk.ImageFileReader) -> int:
    """Frames that ITK took for components: a NRRD file's axis of the kind list, as in Slicer's .seq.nrrd."""
    key = "NRRD_kinds[pixel]"
    if picture.HasMetaDataKey(key) and picture.GetMetaData(key) == "list":
        components = "GetNumberOfComponentsPerPixel" if isinstance(picture, sitk.Image) else "GetNumberOfComponents"
        return getattr(picture, components)()
    return 0


def _one_frame(picture: sitk.Image, path: Path, frame: int | None) -> sitk.Image:
    frames = _frames(path, picture)
    if frames > 1 and frame is None:
        shape = "x".join(map(str, picture.GetSize()))
        raise InputError(
            f"The image {path} is a sequence of {frames} frames ({shape}); choose one of them (option --fixed-frame, "
            "--moving-frame), or give it as the moving image of the command register, which takes all."
        )
    if frame is not None and not 0 <= frame < frames:
        raise InputError(f"The image {path} has no frame {frame}; it has {frames}, counted from 0.")
    if _listed(picture):
        picture = sitk.VectorIndexSelectionCast(picture, frame or 0)
    if picture.GetDimension() <= 3:
        return picture
    size = picture.GetSize()
    first = [0] * len(size)
    first[3] = (frame or 0) if size[3] > 1 else 0
    return sitk.Extract(picture, [*size[:3]] + [0] * (len(size) - 3), first)


def _reason(path: Path, message: str) -> str:
    if "spacing" in message.lower():
        return f"The image {path} has a voxel spacing of zero; repair its header with the true spacing in mm."
    if "determinant" in message or "orthonormal" in message:
        return f"The image {path} has singular axes (they place no voxel); repair its header."
    return f"The image {path} cannot be read ({last_line(message)}); it may be damaged, cut off, or not an image."


def last_line(message: str) -> str:
    """What ITK says went wrong, without where in its code. Not its "Reason", the system's last error of any kind."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("Reason: ")]
    if not lines:
        return "no reason given"
    said = [line for line in lines if "ERROR: " in line]
    words = (said or lines)[-1].rpartition("ERROR: ")[2]
    return re.sub(r"^\w+\(0x[0-9a-f]+\): ", "", words).rstrip(". ")
