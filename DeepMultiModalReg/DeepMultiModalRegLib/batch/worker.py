"""Worker: a process that holds the model and computes one case after the other.

Standard input: a job (see `work.compute`) as one line of JSON. Standard output, one JSON object a line:
    {"event": "ready"}
    {"event": "progress", "fraction": 0..1, "step": "network"}
    {"event": "done", "seconds": {...}, "peak_memory_mb": {...}}
    {"event": "failed", "code": 2|3|5, "message": a sentence, "details": traceback}
It ends when its standard input does: with the last job, or with the batch, however that ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback

INTERNAL = 5
PERIOD = 0.2  # seconds between two words on progress


def main() -> int:
    """Works until the standard input ends; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM) if os.name != "nt" else (signal.SIGINT,):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C goes to all at once: the batch decides, and ends its workers
    _die_with_the_batch()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand between the events

    def tell(event: str, **facts: object) -> None:
        events.write(json.dumps({"event": event, **facts}) + "\n")
        events.flush()

    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    from . import work
    from .fingerprint import content  # noqa: F401  (imported before the first case is timed)

    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    tell("ready")
    while True:
        _do(json.loads(jobs.get()), work.compute, tell)


def _die_with_the_batch() -> None:
    """On Linux the kernel ends the worker the moment the batch is killed; elsewhere `_listen` notices, a little later,
    when the processor is busy."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # 1: PR_SET_PDEATHSIG


def _listen(jobs: queue.Queue[str]) -> None:
    """Hands lines over; when there are no more, nobody waits for what is being computed."""
    with contextlib.suppress(Exception):
        for line in sys.stdin:
            jobs.put(line)
    os._exit(0)


def _do(job: dict, compute, tell) -> None:
    last = 0.0

    def progress(fraction: float, step: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PERIOD:
            last = now
            tell("progress", fraction=round(fraction, 3), step=step)

    try:
        times = compute(job, progress)
    except MemoryError:
        tell("failed", code=3, message="Memory does not suffice; use smaller images or fewer --jobs.", details="")
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        known = hasattr(error, "exit_code")
        message = str(error) if known else f"Internal error ({type(error).__name__}: {reason}); report what log/ says."
        tell(
            "failed", code=getattr(error, "exit_code", INTERNAL), message=message,
            details="" if known else traceback.format_exc(),
        )  # fmt: skip
    else:
        tell("done", **times)
