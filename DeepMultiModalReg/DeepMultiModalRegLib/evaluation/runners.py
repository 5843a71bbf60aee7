"""Runners: everything that can be a row of the table, as a function from a case to a transform."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..core import Affine, Image, InputError, Transform
from ..engine.start import POSES
from .cases import Case
from .peers import PEERS, run_peer


@dataclass(frozen=True)
class Outcome:
    """What a runner found. seconds: registration alone, from images in memory to the transform (and the warped image,
    where the engine makes one); steps: seconds per step; peak_mb: of a process of its own, where it had one."""

    transform: Transform
    seconds: float
    warped: Image | None = None
    inverse: Transform | None = None
    steps: dict[str, float] = field(default_factory=dict)
    peak_mb: float | None = None
    version: str = ""


Runner = Callable[[Case], Outcome]


def identity(case: Case) -> Outcome:
    return Outcome(Affine.identity(case.fixed.grid.dimension), 0.0)


def start(kind: str) -> Runner:
    """A start of the engine alone."""

    def run(case: Case) -> Outcome:
        from ..engine.body import body_points
        from ..engine.start import first_alignment

        started = time.perf_counter()
        transform = first_alignment(case.fixed, case.moving, kind, body_points(case.fixed), body_points(case.moving))
        return Outcome(transform, time.perf_counter() - started)

    return run


@dataclass(frozen=True)
class Settings:
    """How models and peers are run: see engine.register. threads: of the peers' processes."""

    start: str = "moments"
    refine: int = 0
    refine_by: str = "mind"
    device: str = "auto"
    seed: int = 0
    threads: int = 1


def model(name: str, settings: Settings) -> Runner:
    """A model of the catalogue, or the engine's "rigid" or "affine"."""

    def run(case: Case) -> Outcome:
        from ..engine import load, register

        loaded = name if name in POSES else load(name)  # reading and checking the weights is not registration
        wanted = {"start": settings.start, "device": settings.device, "seed": settings.seed, "inverse": True}
        if settings.refine:
            wanted |= {"refine": settings.refine, "refine_by": settings.refine_by}
        started = time.perf_counter()
        result = register(case.fixed, case.moving, loaded, **wanted)
        seconds = time.perf_counter() - started
        steps = dict(result.report["seconds"])
        seconds -= steps.get("inverse", 0.0)  # wanted by the table, not by a registration
        version = "" if name in POSES else f"sha256 {loaded.sha256[:12]}"
        return Outcome(result.transform, seconds, result.warped, result.inverse, steps, version=version)

    return run


def peer(name: str, seed: int = 0, threads: int = 1) -> Runner:
    """Another tool, in a process of its own."""

    def run(case: Case) -> Outcome:
        done = run_peer(name, [(case.fixed, case.moving)], seed, threads)
        found = done.results[0]
        return Outcome(found.transform, found.seconds, peak_mb=done.peak_mb, version=done.version)

    return run


def runners(models: list[str], peers: list[str], settings: Settings) -> dict[str, Runner]:
    """The rows of a table, in order: identity, moments, the peers, then each model, without and with refinement.

    Raises InputError for a peer or a model that nobody knows.
    """
    from ..engine import find

    for name in peers:
        if name not in PEERS:
            raise InputError(f"The peer '{name}' is not one of {', '.join(PEERS)}.")
    rows: dict[str, Runner] = {"identity": identity, "moments": start("moments")}
    rows |= {name: peer(name, settings.seed, settings.threads) for name in peers}
    for name in models:
        if name not in POSES:
            find(name)
        title = name if settings.start == "moments" else f"{name}, start {settings.start}"
        rows[title] = model(name, replace(settings, refine=0))
        if settings.refine and name not in POSES:
            rows[f"{title}, refined"] = model(name, settings)
    return rows
