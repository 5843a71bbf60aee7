"""Waiting: what idle threads of OpenMP do; its library reads it when torch loads it, so nothing is imported here.

PASSIVE alone puts a thread to sleep at the end of each short loop and wakes it for the next: with two threads a
refinement then slept 145,000 times and took twice as long as with one thread. A short look before sleeping (some ten
microseconds; GNU's library, others ignore it) is enough for what follows at once, and leaves the processor to others.
"""

from __future__ import annotations

from collections.abc import Mapping

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def patient(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process, with what it does not say itself about waiting."""
    return {**PATIENT, **environment}
