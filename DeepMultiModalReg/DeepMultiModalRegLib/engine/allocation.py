"""Allocation: freed memory is kept for the next tensor while a registration runs."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import threading

# mallopt's numbers in glibc's malloc.h, and the values it begins with
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT, USUAL = 1 << 30, 128 << 10

_running = 0
_lock = threading.Lock()


@contextlib.contextmanager
def kept_memory():
    """While it lasts glibc keeps freed blocks of up to 1 GB instead of handing each back to the system.

    Tensors of a volume are tens of megabytes. By default each one is mapped anew and its pages are cleared one by one,
    which takes a sixth of a refinement's processor time and half of its wall time with two threads. Afterwards
    everything is given back. Elsewhere than on glibc it does nothing.
    """
    global _running
    libc = _glibc()
    if libc is None:
        yield
        return
    with _lock:
        _running += 1
        libc.mallopt(MMAP_THRESHOLD, KEPT)
        libc.mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                libc.mallopt(MMAP_THRESHOLD, USUAL)
                libc.mallopt(TRIM_THRESHOLD, USUAL)
                libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt, libc.malloc_trim  # noqa: B018  both are wanted
    except (OSError, AttributeError):
        return None
    return libc
