"""Names: folders for cases, whatever a list calls them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ..core.errors import InputError

LONGEST = 60
_DEVICES = ("con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10)))  # of Windows
_RESERVED = {*_DEVICES, "log", "index", "summary", "batch"}  # and the batch's own files
_DIGEST = re.compile(r"-[0-9a-f]{8}$")


def folder_names(ids: list[str]) -> list[str]:
    """For each id a folder name of its own: letters, digits, dot, dash and underscore of ASCII, at most 75 characters.

    An id that is such a name stays as it is. Any other is cut down to one and gets eight digits of its SHA-256 at the
    end, so that no two share a folder on any disk. The name depends on the id alone, and on another id only where the
    two differ in nothing but capitals. Raises InputError where two names still meet, which only malice brings about.
    """
    plain = [_plain(one) for one in ids]
    folded: dict[str, set[str]] = {}
    for one, name in zip(ids, plain, strict=True):
        folded.setdefault(name.lower(), set()).add(one)
    names = []
    for one, name in zip(ids, plain, strict=True):
        alone = name == one and len(folded[name.lower()]) == 1 and not _DIGEST.search(name)
        names.append(name if alone else f"{name}-{_digest(one)}")
    if len({name.lower() for name in names}) < len(set(ids)):
        raise InputError("Two cases of the list would share a folder; give them plainer ids.")
    return names


def shown(text: str, most: int = 80) -> str:
    """text on one line of a terminal: no control characters, not endless."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _plain(text: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only)[:LONGEST].strip(".-_ ")
    return f"case-{name}" if not name or name.split(".")[0].lower() in _RESERVED else name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
