"""Watch: how long the window's thread was away from its event loop, on a machine that does other work too."""

from __future__ import annotations

import time


def own_time() -> float:
    """Seconds that pass for this thread whether it computes, sleeps, or waits for a file or a child; not those in which
    it was ready and other programs had the processors. (Where the system does not tell: those in which it computes.)
    """
    try:
        with open("/proc/thread-self/schedstat") as file:
            waited = int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return time.thread_time()
    return time.monotonic() - waited


class Watch:
    """`longest`: seconds of the longest stay away, of those done inside `with watch:`."""

    def __init__(self) -> None:
        self.longest = self._began = 0.0

    def __enter__(self) -> Watch:
        self._began = own_time()
        return self

    def __exit__(self, *_) -> None:
        self.longest = max(self.longest, own_time() - self._began)
