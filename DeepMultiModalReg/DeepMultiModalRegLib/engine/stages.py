"""Stages: how far a run is, how long each step took, and whether the caller wants it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..core import Cancelled

Progress = Callable[[float, str], None]
CancelledCheck = Callable[[], bool]


class Stages:
    """Progress never runs backwards; `seconds` adds up per step, for the report."""

    def __init__(self, progress: Progress | None = None, cancelled: CancelledCheck | None = None) -> None:
        self._progress = progress
        self._cancelled = cancelled
        self._fraction = 0.0
        self._started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def check(self) -> None:
        """Raises Cancelled when the caller asked to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled()

    def tell(self, fraction: float, step: str) -> None:
        """Reports progress (0 to 1) and stops here if asked to."""
        self.check()
        self._fraction = min(1.0, max(self._fraction, fraction))
        if self._progress is not None:
            self._progress(self._fraction, step)

    @contextmanager
    def step(self, name: str, begin: float, end: float) -> Iterator[Callable[[float], None]]:
        """A timed step that covers the fractions `begin` to `end`; yields a callable for the share done within it."""
        self.tell(begin, name)
        started = time.perf_counter()
        try:
            yield lambda share: self.tell(begin + (end - begin) * share, name)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self.tell(end, name)

    def total(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._started
