"""Interrupt: Ctrl-C and SIGTERM as a wish to stop, which a run grants between two steps, so that it can clean up."""

from __future__ import annotations

import signal
import threading


class Interrupt:
    """A context that listens; `wished()` is the engine's `cancelled`. A second signal does not wait."""

    def __init__(self) -> None:
        self._wished = threading.Event()
        self._patient = True
        self._before: dict[int, object] = {}

    def wished(self) -> bool:
        return self._wished.is_set()

    def at_once(self) -> None:
        """From now on a signal raises KeyboardInterrupt where it finds the program: for commands that do not ask."""
        self._patient = False
        if self.wished():
            raise KeyboardInterrupt

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread listen
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, *_: object) -> None:
        again = self.wished()
        self._wished.set()
        if again or not self._patient:
            raise KeyboardInterrupt
