"""Devices: where a network can run here, with their memory. Asks the system and the driver's own tool, never torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from .words import tr as _

QUERY = ["--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]


class Devices:
    """`known`: device name to words. `ask` starts the driver's tool, `answered` takes its answer: nobody waits."""

    def __init__(self) -> None:
        gigabytes = memory_gigabytes()
        words = _("Processor (CPU)")
        if gigabytes:
            words = _("Processor (CPU), {gb:.0f} GB").format(gb=gigabytes)
        self.known = {"auto": _("Automatic"), "cpu": words}
        if platform.system() == "Darwin" and platform.machine() == "arm64":
            self.known["mps"] = _("Apple graphics (mps)")
        self._tool: subprocess.Popen | None = None
        self._asked = False

    def ask(self) -> bool:
        """Asks for NVIDIA cards, once; whether an answer is to be waited for."""
        tool = None if self._asked else shutil.which("nvidia-smi")
        self._asked = True
        if tool is not None:
            try:
                self._tool = subprocess.Popen(
                    [tool, *QUERY], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )  # fmt: skip
            except OSError:
                self._tool = None
        return self._tool is not None

    def answered(self) -> bool:
        """Whether there is nothing (more) to wait for; `known` then holds the cards."""
        if self._tool is None:
            return True
        if self._tool.poll() is None:
            return False
        with self._tool.stdout as output:  # a few lines: they fit the pipe
            self.known |= cards(output.read().decode("utf-8", "replace"))
        self._tool = None
        return True

    def close(self) -> None:
        """Ends a tool that has not answered."""
        if self._tool is not None:
            self._tool.kill()
            self._tool.wait()
            self._tool.stdout.close()
            self._tool = None


def cards(text: str) -> dict[str, str]:
    """Device name to words, from the lines `index, name, MiB` that nvidia-smi prints."""
    found = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit():
            found[f"cuda:{parts[0]}"] = _("{name}, {gb:.0f} GB").format(name=parts[1], gb=int(parts[2]) / 1024)
    return found


def memory_gigabytes() -> float | None:
    """The machine's memory, or None where it does not say."""
    try:
        if os.name == "nt":
            return _windows_bytes() / 2**30
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, OSError, ValueError):
        return None


def _windows_bytes() -> int:
    import ctypes

    kilobytes = ctypes.c_ulonglong()
    if not ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)):
        raise OSError
    return kilobytes.value * 1024
