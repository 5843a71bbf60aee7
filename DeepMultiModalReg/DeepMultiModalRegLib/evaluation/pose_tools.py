"""Tools of the poses experiment: everything that answers a pair with an affine transform."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..core import Affine, Image, InputError
from ..engine import register
from ..engine.pose import KINDS


@dataclass(frozen=True)
class Found:
    """transform: fixed LPS mm to moving LPS mm. seconds, cpu_seconds: from images in memory to the transform (ours: to
    the warped image and the report too); None where it was not measured apart. note: what the tool had to say."""

    transform: Affine
    seconds: float
    cpu_seconds: float | None = None
    version: str = ""
    note: str = ""


Tool = Callable[[Image, Image], dict[str, Found]]  # the row's name to what was found


def identity(fixed: Image, moving: Image) -> dict[str, Found]:
    return {"identity": Found(Affine.identity(fixed.grid.dimension), 0.0, 0.0)}


def title(kind: str, start: str) -> str:
    return kind if start == "moments" else f"{kind}, start {start}"


def ours(kind: str, start: str, device: str, seed: int) -> Tool:
    """The engine's "rigid" or "affine" after a start; the start alone is a second row, of the same run.

    Raises InputError for another kind: a network's result is no pose.
    """
    if kind not in KINDS:
        raise InputError(f"The model '{kind}' does not end in a pose; the poses experiment takes {', '.join(KINDS)}.")

    def run(fixed: Image, moving: Image) -> dict[str, Found]:
        wall, cpu = time.perf_counter(), time.process_time()
        result = register(fixed, moving, kind, start=start, device=device, seed=seed)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        report = result.report
        note = " ".join(report["warnings"])
        first = Affine(torch.tensor(report["parameters"]["start"]["matrix"], dtype=torch.float64))
        return {
            title(kind, start): Found(result.transform, wall, cpu, note=note),
            f"start {start} alone": Found(first, report["seconds"]["start"], note=note),
        }

    return run
