"""Memory: what a run used at most, and recognising that it did not suffice."""

from __future__ import annotations

import contextlib
import sys

import torch

# what torch (and oneDNN in it) says on the CPU and on accelerators; numpy and Python raise MemoryError
SIGNS = (
    "can't allocate memory", "not enough memory", "out of memory", "failed to allocate", "bad_alloc",
    "could not create a primitive", "could not create a memory",
)  # fmt: skip


def is_shortage(error: BaseException) -> bool:
    """Whether an exception means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def release(device: torch.device) -> None:
    """Gives back what torch keeps for later, before a second, smaller attempt."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_megabytes(device: torch.device) -> dict[str, float]:
    """{"process": ..., "device": ...}: the process's largest resident size so far and the GPU memory of this run, in
    MB."""
    peak: dict[str, float] = {}
    resident = _peak_resident()
    if resident is not None:
        peak["process"] = round(resident / 1e6, 1)
    if device.type == "cuda":
        peak["device"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return peak


def _peak_resident() -> float | None:
    """Bytes. On Linux not getrusage's figure, which a child process takes over from a larger parent."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    if sys.platform == "win32":
        return None
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
