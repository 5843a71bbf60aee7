"""Pool: the worker processes, seen from the batch."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from ..core.errors import InputError
from ..waiting import patient

HOME = str(Path(__file__).resolve().parents[2])
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from DeepMultiModalRegLib.batch.worker import main; "
CHILD += "sys.exit(main())"
MEMORY_A_JOB = 4_000_000_000  # bytes: what the engine keeps to for the largest images


class Worker:
    """One process. What it says goes to the queue as (worker, event); its end as {"event": "ended", "code": n}."""

    def __init__(self, events: queue.Queue, threads: int, log: Path, lock: int | None = None) -> None:
        """log: file that gets what it prints. lock: descriptor that it holds on to. Raises InputError."""
        environment = patient(os.environ) | {"PYTHONIOENCODING": "utf-8"}
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
            environment[name] = str(threads)
        options: dict = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
        if os.name != "nt" and lock is not None:
            options["pass_fds"] = (lock,)
        self._log = log
        self.ready = False
        try:
            with log.open("ab") as err:
                self.child = subprocess.Popen(
                    [python_executable(), "-u", "-c", CHILD, HOME], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=err, env=environment, **options,
                )  # fmt: skip
        except OSError as error:
            raise InputError(
                f"A worker cannot be started ({error.strerror}); use fewer --jobs or repair the installation."
            ) from error
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    def give(self, job: dict) -> None:
        with contextlib.suppress(OSError):  # it is gone: its end is in the queue
            self.child.stdin.write(json.dumps(job).encode() + b"\n")
            self.child.stdin.flush()

    def end(self) -> None:
        """Ends it at once; returns when it is gone."""
        self.child.kill()
        self.child.wait()
        with contextlib.suppress(OSError):
            self.child.stdin.close()

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return lines[-1].strip()[:200] if lines else ""
        return ""

    def _listen(self, events: queue.Queue) -> None:
        with self.child.stdout as stream:
            for line in stream:
                with contextlib.suppress(ValueError):
                    events.put((self, json.loads(line)))
        events.put((self, {"event": "ended", "code": self.child.wait()}))


def sentence_for(code: int) -> tuple[int, str]:
    """(exit code, sentence) for a worker that ended in the middle of a case, from its own exit code."""
    if code == -getattr(signal, "SIGKILL", 9) or code & 0xFFFFFFFF == 0xC0000017:
        return 3, (
            "The worker was ended by the system, most likely because memory ran out; use fewer --jobs, or crop or "
            "downsample the images."
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return 5, f"The worker crashed on this case ({how}); log/ may say why. Try the device cpu, and report it."


def python_executable() -> str:
    """The Python of the workers: this one, or Slicer's own (PythonSlicer) when Slicer runs this. Raises InputError."""
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    found = shutil.which("PythonSlicer")
    if found is None:
        raise InputError("Slicer's own Python (PythonSlicer) is not found; repair the installation of Slicer.")
    return found


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sensible_jobs(cases: int, threads: int, on_gpu: bool) -> int:
    """Workers where nobody says how many: one a core (or `threads` cores), as far as each has MEMORY_A_JOB of the free
    memory; one on a GPU."""
    if on_gpu:
        return 1
    return max(1, min(cases, cores() // threads, _free_memory() // MEMORY_A_JOB))


def _free_memory() -> int:
    """Bytes; where the system does not tell, enough for two."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 2 * MEMORY_A_JOB
