"""What ITK's MetaImage reader does not survive: a number of dimensions that no image has."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.errors import InputError

_HEADER_BYTES = 1 << 16
_DIMENSIONS = 10  # MetaIO's arrays hold no more


def check_meta(path: Path) -> None:
    """Raises InputError where the header of a .mha or .mhd file names a number of dimensions beyond 1 to 10; other
    files pass."""
    if path.suffix.lower() not in (".mha", ".mhd"):
        return
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"The image {path} cannot be read ({reason}); check its permissions.") from error
    for value in re.findall(rb"NDims[^\S\n]*[=:]?[^\S\n]*([^\s]*)", header):
        if not re.fullmatch(rb"\d{1,2}", value) or not 1 <= int(value) <= _DIMENSIONS:
            text = value[:20].decode("ascii", "replace")
            raise InputError(f"The image {path} has '{text}' dimensions by its header; repair or export it again.")
