"""Fingerprint: what a case was computed from. Two equal ones give the same result, so that it need not be computed
again."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from pathlib import Path

from .. import __version__
from .case import Case, Settings

_DETACHED = (".mhd", ".nhdr", ".hdr", ".img")  # voxels and header in two files


def fingerprint(case: Case, settings: Settings, model: dict) -> dict:
    """JSON-able: paths as the list has them, sizes and SHA-256 of their content, parameters, the model's identity.

    model: see `model_identity`. A file that is missing or cannot be read has null for both.
    """
    return {
        "version": __version__,
        "model": model,
        "inputs": {role: _described(case, role) for role in case.roles()},
        "start": "file" if case.start_file else case.start,
        "refine": case.refine,
        **settings.as_dict(),
    }


def model_identity(name: str | None) -> dict:
    """{"name", "sha256"}: of the weights; of all installed models' where the catalogue will choose; none for rigid and
    affine. Raises InputError for a model that is not installed."""
    from ..engine.catalogue import find, installed_models
    from ..engine.classical import Classical

    if name is None:
        every = sorted((m.name, m.weights["sha256"]) for m in installed_models()[0])
        return {"name": None, "sha256": hashlib.sha256(repr(every).encode()).hexdigest()}
    if Classical.named(name, 3) is not None:
        return {"name": name, "sha256": None}
    return {"name": name, "sha256": find(name).weights["sha256"]}


def _described(case: Case, role: str) -> dict:
    path = case.path(role)
    size, digest = content(path)
    written = case.start if role == "start" else case.files[role]
    return {"path": written, "bytes": size, "sha256": digest}


def content(path: Path) -> tuple[int | None, str | None]:
    """(bytes, SHA-256) of a file, or of all files directly in a folder with their names; (None, None) where it cannot
    be read or is neither."""
    try:
        parts = _parts(path)
        digest, size = hashlib.sha256(), 0
        for part in parts:
            told = part.stat()
            size += told.st_size
            digest.update(f"{part.name}\0".encode() if len(parts) > 1 else b"")
            digest.update(_of_file(str(part), told.st_size, told.st_mtime_ns))
    except (OSError, ValueError):
        return None, None
    return (size, digest.hexdigest()) if parts else (None, None)


def _parts(path: Path) -> list[Path]:
    """The ordinary files that make up an image: devices and pipes, which may never end, are none."""
    if path.is_dir():
        return sorted(p for p in path.iterdir() if _ordinary(p))
    if not _ordinary(path):
        return []
    if path.suffix.lower() in _DETACHED:
        stem = path.name.split(".")[0]
        return sorted(p for p in path.parent.iterdir() if p.name.split(".")[0] == stem and _ordinary(p))
    return [path]


def _ordinary(path: Path) -> bool:
    return stat.S_ISREG(os.stat(path).st_mode)


@functools.lru_cache(maxsize=4096)  # one template may be the fixed image of every case
def _of_file(path: str, size: int, changed: int) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
