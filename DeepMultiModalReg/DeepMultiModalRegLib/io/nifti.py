"""What ITK's NIfTI reader passes in silence: a file that is cut off (read as zeros), a zero spacing (read as 1 mm); and
what it cannot hold: sheared axes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ..core.errors import InputError

_HEADER_BYTES = 540  # NIfTI-2's; NIfTI-1's is 348
_BLOCK = 1 << 22


def check_nifti(path: Path, whole: bool = True) -> None:
    """Raises InputError where a .nii or .nii.gz is cut off, damaged, or of zero spacing, or its axes are no numbers;
    other files pass. whole: False looks at the header alone, so a file that is cut off may pass."""
    name = path.name.lower()
    if name.endswith((".hdr", ".img")):
        _check_pair(path.with_suffix(".hdr"))
    if not name.endswith((".nii", ".nii.gz")) or not path.is_file():
        return
    try:
        # By content: files of either name come compressed and not.
        with path.open("rb") as raw:
            opened = gzip.open if raw.read(2) == b"\x1f\x8b" else open
        with opened(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
            described = _described(header)
            if described is None:  # ITK may take it for one, and search in it for ever
                raise InputError(f"The image {path} is no NIfTI file, though its name says so; export it again.")
            size, spacing, expected = described
            _check_numbers(header, path)
            found = len(header)
            while whole and (block := file.read(_BLOCK)):
                found += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"The image {path} is cut off or damaged ({error}); copy or export it again.") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"The image {path} cannot be read ({reason}); check its permissions.") from error
    if whole and found < expected:
        raise InputError(
            f"The image {path} is cut off: {found} of {expected} bytes are there; copy or export it again."
        )
    if header[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c"):  # 540: ITK reads no such files
        raise InputError(f"The image {path} is a NIfTI file of version 2; save it as version 1 or as .nrrd.")
    if any(s == 0 for n, s in zip(size, spacing, strict=True) if n > 1):
        raise InputError(f"The image {path} has a voxel spacing of zero; repair its header with the true one in mm.")


def _check_pair(path: Path) -> None:
    """The same for the header of a pair of files, .hdr and .img."""
    if path.is_file():
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        if len(header) >= 348:
            _check_numbers(header, path)


def _check_numbers(header: bytes, path: Path) -> None:
    """Raises InputError where a number that places the voxels is none: ITK would search for upright axes for ever."""
    for order in "<>":
        if struct.unpack_from(order + "i", header)[0] == 348:
            codes = struct.unpack_from(order + "2h", header, 252)
            numbers = struct.unpack_from(order + "4f", header, 76)
            numbers += struct.unpack_from(order + "6f", header, 256) if codes[0] > 0 else ()
            numbers += struct.unpack_from(order + "12f", header, 280) if codes[1] > 0 else ()
            if not all(math.isfinite(number) for number in numbers):
                raise InputError(f"The image {path} has a number in its header that is not finite; repair its axes.")


def axes_of_nifti(path: Path) -> tuple[list[float], list[float], list[float]] | None:
    """(spacing, origin, direction) in LPS mm by the sform of a NIfTI file (axes of any length, at any angle), or None
    where it has none or it places no voxel."""
    with path.open("rb") as raw:
        opened = gzip.open if raw.read(2) == b"\x1f\x8b" else open
    with opened(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(order + "i", header)[0] == 348:
            code, rows = struct.unpack_from(order + "h", header, 254)[0], struct.unpack_from(order + "12f", header, 280)
            unit = header[123] & 7
        else:
            continue
        millimetres = {1: 1000.0, 3: 0.001}.get(unit, 1.0)  # metres, micrometres; else mm
        matrix = np.diag([-1.0, -1.0, 1.0]) @ (np.array(rows, dtype=np.float64).reshape(3, 4) * millimetres)
        spacing = np.linalg.norm(matrix[:, :3], axis=0)
        if code <= 0 or not np.isfinite(matrix).all() or spacing.min() <= 0:
            return None
        axes = matrix[:, :3] / spacing
        return (spacing.tolist(), matrix[:, 3].tolist(), axes.ravel().tolist()) if _places(axes) else None
    return None


def _places(axes: np.ndarray) -> bool:
    return abs(np.linalg.det(axes)) > 1e-3


def _described(header: bytes) -> tuple[list[int], list[float], int] | None:
    """(size of the first three axes, their spacing, bytes of the whole file) by the header of NIfTI-1 or NIfTI-2.

    Offsets as in nifti1.h and nifti2.h (NIfTI Data Format Working Group, 2003 and 2011).
    """
    if len(header) < 348:
        return None
    for order in "<>":
        kind = struct.unpack_from(order + "i", header)[0]
        if kind == 348 and header[344:347] == b"n+1":
            dim = struct.unpack_from(order + "8h", header, 40)
            pixdim = struct.unpack_from(order + "8f", header, 76)
            bits = struct.unpack_from(order + "h", header, 72)[0]
            start = struct.unpack_from(order + "f", header, 108)[0]
            offset = int(start) if math.isfinite(start) else 0
        elif kind == 540 and len(header) == 540 and header[4:7] == b"n+2":
            dim = struct.unpack_from(order + "8q", header, 16)
            pixdim = struct.unpack_from(order + "8d", header, 104)
            bits = struct.unpack_from(order + "h", header, 14)[0]
            offset = struct.unpack_from(order + "q", header, 168)[0]
        else:
            continue
        axes = dim[0]
        if not 1 <= axes <= 7:
            return None
        sizes = [max(1, n) for n in dim[1 : axes + 1]]
        return list(sizes[:3]), list(pixdim[1 : min(axes, 3) + 1]), offset + math.prod(sizes) * bits // 8
    return None
