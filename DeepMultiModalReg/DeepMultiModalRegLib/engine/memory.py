"""Memory: what a run used at most, and recognising that it did not suffice."""

from __future__ import annotations

import sys

import torch

# what torch says on the CPU and on accelerators; numpy and Python raise MemoryError
SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "failed to allocate", "bad_alloc")


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
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak["process"] = round(used / 1e6 if sys.platform == "darwin" else used / 1e3, 1)
    if device.type == "cuda":
        peak["device"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return peak
