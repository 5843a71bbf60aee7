"""Lock: one batch at a time in a folder.

The operating system holds it, for the batch and for its workers: it ends with the last of them, however they end, so
that no lock outlives its owner and no half-dead worker writes beside a new batch.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from pathlib import Path

from ..core.errors import InputError

NAME = ".lock"
PATIENCE = 15.0  # seconds for workers of a killed batch to notice and end


class Lock:
    """Held from creation until `release` or the end of the process and of every child that inherited `descriptor`."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        """Raises InputError where another batch holds it, or it cannot be made."""
        self._path = folder / NAME
        end = time.monotonic() + patience
        while True:
            try:
                self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise InputError(
                    f"The folder {folder} cannot be written ({error.strerror}); choose another by --out."
                ) from error
            if _taken(self.descriptor) and self._current():
                break
            owner = os.pread(self.descriptor, 200, 0).decode("utf-8", "replace") if hasattr(os, "pread") else ""
            os.close(self.descriptor)
            if time.monotonic() > end:
                who = f" ({owner.strip()})" if owner.strip() else ""
                raise InputError(
                    f"Another batch{who} works in {folder}; wait until it has ended, or choose another folder by --out."
                )
            time.sleep(0.05)
        os.ftruncate(self.descriptor, 0)
        os.write(self.descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        with contextlib.suppress(OSError):
            if os.name == "nt":
                os.close(self.descriptor)
                self._path.unlink()
            else:  # while it is held: whoever opened the file in between finds that it is no longer the folder's
                self._path.unlink()
                os.close(self.descriptor)

    def _current(self) -> bool:
        """Whether the file that is locked is still the one in the folder."""
        try:
            return os.name == "nt" or os.path.samestat(os.fstat(self.descriptor), os.stat(self._path))
        except OSError:
            return False


def _taken(descriptor: int) -> bool:
    if os.name == "nt":
        import msvcrt

        try:
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind the text, which others may then read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # a disk that knows no locks (some network disks): better without than not at all
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True
