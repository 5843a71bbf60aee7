"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import InputError


def require_writable(path: str | os.PathLike) -> Path:
    """path, if a file can be written there; to be asked before minutes are spent on computing it.

    Raises InputError: missing or read-only folder, path is itself a folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"The output {path} is a folder; give the name of a file.")
        if not path.parent.is_dir():
            raise InputError(f"The output {path} cannot be written: there is no folder {path.parent}; create it first.")
        there = os.path.lexists(path)
        if there and not path.is_file():
            raise InputError(f"The output {path} is there already and is no plain file; choose another name.")
        if not os.access(path.parent, os.W_OK) or (there and not os.access(path, os.W_OK)):
            raise InputError(
                f"The output {path} cannot be written: no permission; choose another folder or free this one."
            )
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a zero byte, links in a circle
        raise _unwritable(path, error) from error
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to; when the block ends well its file takes the place of `path`, else nothing is left behind.

    The file is written under its own name in a hidden folder beside its destination (same disk, so that moving it is
    one step), and with it whatever a format splits off (.mhd and .raw): the parts move first, the named file last.
    Raises InputError where the destination cannot be written, or the disk is full.
    """
    path = require_writable(path).absolute()  # a writer may change the working folder
    folder = hidden_folder(path)
    try:
        yield folder / path.name
        written = sorted(folder.iterdir(), key=lambda p: p.name == path.name)
        if not written or written[-1].name != path.name:
            raise InputError(f"The output {path} was not written; choose another name or format.")
        for part in written:
            os.replace(part, path.parent / part.name)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hidden_folder(path: Path) -> Path:
    """A new hidden folder beside `path` to write its file in, on the same disk.

    Folders that a process which was killed left there for the same file are removed. Raises InputError where it cannot
    be made.
    """
    prefix = f".{path.name[:40]}-{_machine()}-"
    try:
        if os.name == "posix":  # elsewhere there is no harmless way to ask whether a process lives
            for entry in os.scandir(path.parent):
                owner = entry.name.removeprefix(prefix).split("-")[0] if entry.name.startswith(prefix) else ""
                if owner.isdigit() and not _alive(int(owner)):
                    shutil.rmtree(entry.path, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error


def _machine() -> str:
    """This machine in four characters: on a shared disk the processes of others are not to be judged."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_text(text: str, path: str | os.PathLike) -> None:
    """text as UTF-8. Raises InputError where path cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(data: object, path: str | os.PathLike) -> None:
    """data as indented JSON. Raises InputError where path cannot be written."""
    write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", path)


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"The output {path} cannot be written: {reason}. Free the place or choose another folder.")
