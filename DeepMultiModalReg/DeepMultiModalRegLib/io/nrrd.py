"""What ITK's NRRD reader does not survive: voxels that are said to be written as text and are not."""

from __future__ import annotations

import math
from pathlib import Path

from ..core.errors import InputError

_TEXT = ("txt", "text", "ascii")
_HEADER_BYTES = 1 << 20
_DIGITS = frozenset(b"0123456789+-.eEinfaINFA, \t\r\n")


def check_nrrd(path: Path) -> None:
    """Raises InputError where a .nrrd or .nhdr file of text encoding holds no numbers, or too few; other files pass."""
    if path.suffix.lower() not in (".nrrd", ".nhdr"):
        return
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
            fields, begin = _fields(start)
            if fields.get("encoding", "").lower() not in _TEXT:
                return
            detached = fields.get("data file") or fields.get("datafile")
            file.seek(begin)
            voxels = (path.parent / detached).read_bytes() if detached else file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The voxels of the image {path} cannot be read ({reason}); export it again.") from error
    sizes = [int(word) for word in fields.get("sizes", "").split() if word.isdigit()]
    if not set(voxels) <= _DIGITS or len(voxels.replace(b",", b" ").split()) < math.prod(sizes):
        raise InputError(f"The image {path} is not the text that its header says it is; export it again.")


def _fields(start: bytes) -> tuple[dict[str, str], int]:
    """The header's fields (names in lower case), and where what follows it begins."""
    ends = [(at, len(mark)) for mark in (b"\n\n", b"\r\n\r\n") if (at := start.find(mark)) >= 0]
    at, length = min(ends, default=(len(start), 0))
    lines = start[:at].decode("latin-1").splitlines()
    pairs = [line.split(":", 1) for line in lines if ":" in line and not line.startswith("#")]
    return {name.strip().lower(): value.strip(" =") for name, value in pairs}, at + length
