"""Outputs: all files of one run, written together or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from ..core.errors import InputError
from ..io import require_writable
from ..io.atomic import hidden_folder


class Outputs:
    """The files that a run will write: checked before it computes, staged beside their places, moved there at the
    end."""

    def __init__(self, wanted: dict[str, Path | None], inputs: list[Path]) -> None:
        """wanted: role to path (None: not wanted). inputs: files that must not be overwritten.

        Raises InputError where a path cannot be written, is wanted twice, or is an input.
        """
        self._paths = {role: path for role, path in wanted.items() if path is not None}
        self._staged: dict[str, Path] = {}
        taken: dict[str, str] = {os.path.realpath(path): "an input" for path in inputs}
        for role, path in self._paths.items():
            place = os.path.realpath(path)
            if place in taken:
                raise InputError(f"The output {path} ({role}) is also {taken[place]}; give it a name of its own.")
            taken[place] = f"the output of {role}"
            require_writable(path)
            os.rmdir(hidden_folder(path))  # the surest test: permissions do not tell everything

    def wants(self, role: str) -> bool:
        return role in self._paths

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._staged.values():
            shutil.rmtree(folder, ignore_errors=True)

    def stage(self, role: str) -> Path:
        """Where to write that output for now: its own name, in a hidden folder on the same disk."""
        path = self._paths[role]
        self._staged[role] = hidden_folder(path)
        return self._staged[role] / path.name

    def commit(self) -> list[Path]:
        """Moves everything staged to its place; where one cannot be moved, those already moved go back. The paths."""
        moved: list[tuple[Path, Path | None]] = []
        try:
            for role, folder in self._staged.items():
                for part in sorted(p for p in folder.iterdir() if p.is_file()):
                    moved.append(_move(part, self._paths[role].parent / part.name))
        except BaseException as error:
            for target, old in reversed(moved):
                target.unlink(missing_ok=True)
                if old is not None:
                    os.replace(old, target)
            if not isinstance(error, OSError):
                raise
            raise InputError(
                f"The outputs cannot be put in place ({error.strerror}); free the place or choose another."
            ) from error
        return [self._paths[role] for role in self._staged]


def _move(part: Path, target: Path) -> tuple[Path, Path | None]:
    """Moves a file; what was there before is kept beside it until the whole run is through. The target has the old
    content or the new one at any moment."""
    old = None
    if target.exists():
        old = part.parent / f".old-{os.urandom(4).hex()}"
        with contextlib.suppress(OSError):
            os.link(target, old)
        if not old.exists():  # a disk without links
            shutil.copy2(target, old)
    os.replace(part, target)
    return target, old
