"""Clock: how long the rest of a batch will take, from what was done of it."""

from __future__ import annotations

import time


class Clock:
    def __init__(self, cases: int, now=time.monotonic) -> None:
        """cases: those still to compute."""
        self._cases, self._now, self._began = cases, now, now()

    def begin(self) -> None:
        """The workers are ready: what it took until then comes once."""
        self._began = self._now()

    def remaining(self, done: int, fractions: list[float]) -> float | None:
        """Seconds; None while too little is known. done: cases ended in this run; fractions: of those under way."""
        elapsed, work = self._now() - self._began, done + sum(fractions)
        if work < 0.3 or elapsed < 1:
            return None
        return max(0.0, elapsed / work * (self._cases - work))


def in_words(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 5400:
        return f"about {seconds / 3600:.1f} h left"
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {max(1, round(seconds))} s left"
