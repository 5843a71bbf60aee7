"""Process: the child that computes, its events, its end. No threads, no pipes to block on: the child writes files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from ..waiting import patient
from .job import Job
from .words import PanelError
from .words import tr as _

LIBRARY_HOME = str(Path(__file__).resolve().parents[2])
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from DeepMultiModalRegLib.engine.worker import main; "
CHILD += "sys.exit(main(sys.argv[2]))"
GRACE_SECONDS = 1.5
_NO_MEMORY_WINDOWS = 0xC0000017


def python_executable() -> str:
    """The Python of the child: Slicer's PythonSlicer, or the interpreter that runs this outside Slicer."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    raise PanelError(_("Slicer's own Python (PythonSlicer) is not found; repair the installation of Slicer."), 5)


def child_command() -> list[str]:
    """What is run; the job's folder comes last."""
    return [python_executable(), "-u", "-c", CHILD, LIBRARY_HOME]


class Process:
    """A running child. `poll` reads what it said since; `kill` ends it and everything it started."""

    def __init__(self, job: Job, command: list[str] | None = None) -> None:
        """command: what to run instead, for tests; the job's folder is its last argument."""
        command = command or child_command()
        environment = patient(os.environ)
        environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(job.folder))  # whatever it makes goes with the job
        environment["PYTHONIOENCODING"] = "utf-8"
        options: dict = {}
        if os.name == "nt":
            options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        else:
            options["start_new_session"] = True  # a group of its own, to be ended as a whole
        try:
            with job.events.open("wb") as out, job.log.open("wb") as err:
                self._child = subprocess.Popen(
                    [*command, str(job.folder)], stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment,
                    cwd=job.folder, **options,
                )  # fmt: skip
        except OSError as error:
            raise PanelError(
                _("The computation cannot be started ({reason}); repair the installation of Slicer.").format(
                    reason=error.strerror
                ), 5,
            ) from error  # fmt: skip
        self._job = job
        self._read = 0
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._child.pid

    def poll(self) -> tuple[list[dict], int | None]:
        """(events since the last call, exit code or None while it runs)."""
        code = self._child.poll()  # first: what it said before its end is then complete in the file
        return self._events(), code

    def _events(self) -> list[dict]:
        try:
            with self._job.events.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except OSError:
            return []
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        events = []
        for line in lines:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    events.append(event)
        return events

    def end(self) -> None:
        """Asks the system to end the child and its children; does not wait until they are gone."""
        if os.name == "nt":
            if self._child.poll() is None:
                subprocess.Popen(
                    ["taskkill", "/F", "/T", "/PID", str(self.pid)], stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, creationflags=subprocess.CREATE_NO_WINDOW,
                )  # fmt: skip
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Ends the child and its children at once; returns when it is gone, after GRACE_SECONDS at the latest."""
        self.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE_SECONDS)
        self.close()

    def close(self) -> None:
        """Lets go of the child's standard input."""
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def log(self, most: int = 20000) -> str:
        """The last of what the child printed besides its events."""
        try:
            with self._job.log.open("rb") as file:
                file.seek(max(0, self._job.log.stat().st_size - most))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


def sentence_for(code: int, log: str) -> PanelError:
    """What a child's end without a word of its own means, with a remedy."""
    number = -code if code < 0 else code - 128 if 128 < code < 160 else 0
    if number == getattr(signal, "SIGKILL", 9) or code & 0xFFFFFFFF == _NO_MEMORY_WINDOWS:
        message = _(
            "The computation was ended by the system, most likely because memory ran out. Close other programs, crop "
            "or downsample the volumes, then press Apply again. Nothing was changed."
        )
        return PanelError(message, 3, log)
    if number:
        message = _(
            "The computation crashed (signal {number}). Choose the device CPU under Advanced and press Apply again; if "
            "it crashes again, report the log. Nothing was changed."
        ).format(number=number)
        return PanelError(message, 5, log)
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    message = _("The computation ended unexpectedly (exit code {code}). {last} Nothing was changed.").format(
        code=code, last=_("It said: {words}.").format(words=last[:200]) if last else _("Look at the log.")
    )
    return PanelError(message, 5, log)


class Remaining:
    """Time left, from the share that is done; said only when it is worth something."""

    def __init__(self, clock=time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._marks = [(self._began, 0.0)]

    def seconds(self, fraction: float) -> float | None:
        """Seconds left, or None while too little is known."""
        now = self._clock()
        if fraction > self._marks[-1][1]:
            self._marks.append((now, fraction))
        elapsed = self._marks[-1][0] - self._began
        if fraction < 0.15 or elapsed < 1.0:
            return None
        whole = elapsed / self._marks[-1][1]
        return max(0.0, whole - (now - self._began))

    def words(self, fraction: float) -> str:
        left = self.seconds(fraction)
        if left is None:
            return ""
        if left >= 90:
            return _("about {n} min left").format(n=round(left / 60))
        return _("about {n} s left").format(n=max(1, round(left)))
