"""Runners: everything that can be a row of the table, as a function from a case to a transform."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..core import Affine, Image, InputError, Transform, split
from ..engine.start import POSES
from .cases import Case
from .fresh import in_fresh_process
from .peers import PEERS, STARTED, run_peer


@dataclass(frozen=True)
class Outcome:
    """What a runner found. seconds, cpu_seconds: registration alone, from images in memory to the transform (and the
    warped image, where the engine makes one); steps: seconds per step; startup_seconds, peak_mb: of a process of its
    own, where it had one: all the rest of its wall time, and its largest resident size."""

    transform: Transform
    seconds: float
    warped: Image | None = None
    steps: dict[str, float] = field(default_factory=dict)
    peak_mb: float | None = None
    version: str = ""
    cpu_seconds: float | None = None
    startup_seconds: float | None = None
    warnings: tuple[str, ...] = ()
    device_mb: float | None = None


@dataclass(frozen=True)
class Runner:
    """A row's maker. kind: start | peer | model | refined; model: what model a row without or with refinement is of;
    settings: JSON-able, what decides its figures besides the case; dimension: of the model, None where any will do."""

    run: Callable[[Case], Outcome]
    kind: str
    model: str = ""
    settings: dict = field(default_factory=dict)
    dimension: int | None = None

    def __call__(self, case: Case) -> Outcome:
        return self.run(case)


@dataclass(frozen=True)
class Settings:
    """How models and peers are run: see engine.register. threads: of their processes."""

    start: str = "moments"
    refine: int = 0
    refine_by: str = "mind"
    device: str = "auto"
    seed: int = 0
    threads: int = 1

    def plain(self) -> Settings:
        """The same without refinement."""
        return replace(self, refine=0, refine_by="mind")


def identity(case: Case) -> Outcome:
    return Outcome(Affine.identity(case.fixed.grid.dimension), 0.0)


def start(kind: str) -> Callable[[Case], Outcome]:
    """A start of the engine alone."""

    def run(case: Case) -> Outcome:
        from ..engine.body import body_points
        from ..engine.start import first_alignment

        started = time.perf_counter()
        transform = first_alignment(case.fixed, case.moving, kind, body_points(case.fixed), body_points(case.moving))
        return Outcome(transform, time.perf_counter() - started)

    return run


def model(name: str, settings: Settings) -> Callable[[Case], Outcome]:
    """A model of the catalogue, or the engine's "rigid" or "affine", in a process of its own."""

    def run(case: Case) -> Outcome:
        done = in_fresh_process(case.fixed, case.moving, name, **vars(settings))
        (one,) = done.runs
        version = f"sha256 {done.figures['sha256'][:12]}" if done.figures["sha256"] else ""
        return Outcome(
            done.transform, one["seconds"], done.warped, one["steps"], done.figures["peak_mb"], version,
            one["cpu_seconds"], done.startup_seconds, tuple(done.figures["warnings"]), done.figures["device_mb"],
        )  # fmt: skip

    return run


def peer(name: str, settings: Settings) -> Callable[[Case], Outcome]:
    """Another tool, in a process of its own. One that needs an affine start gets the engine's, whose seconds count."""

    def run(case: Case) -> Outcome:
        first, given = None, None
        if name in STARTED:
            first = in_fresh_process(case.fixed, case.moving, "affine", **vars(settings.plain()))
            given = [split(first.transform, case.fixed.grid.dimension)[1]]
        done = run_peer(name, [(case.fixed, case.moving)], settings.seed, settings.threads, given)
        found = done.results[0]
        spent = {"registration": (found.seconds, found.cpu_seconds)}
        outside, peak = done.startup_seconds, done.peak_mb
        if first is not None:
            spent["affine"] = first.runs[0]["seconds"], first.runs[0]["cpu_seconds"]
            outside, peak = outside + first.startup_seconds, max(peak, first.figures["peak_mb"])
        wall, cpu = (sum(value[k] for value in spent.values()) for k in (0, 1))
        steps = {key: value[0] for key, value in spent.items()} if len(spent) > 1 else {}
        return Outcome(
            found.transform, wall, None, steps, peak, done.version, cpu_seconds=cpu, startup_seconds=outside
        )

    return run


def runners(models: list[str], peers: list[str], settings: Settings) -> dict[str, Runner]:
    """The rows of a table, in order: identity, moments, the peers, then each model, without and with refinement.

    models: names, or NAME@START for a start of its own. Raises InputError for a peer or a model that nobody knows.
    """
    from ..engine import find

    for name in peers:
        if name not in PEERS:
            raise InputError(f"The peer '{name}' is not one of {', '.join(PEERS)}.")
    rows = {"identity": Runner(identity, "start"), "moments": Runner(start("moments"), "start")}
    own = vars(settings)
    for name in peers:
        used = own if name in STARTED else {key: own[key] for key in ("seed", "threads")}
        rows[name] = Runner(peer(name, settings), "peer", settings={**used, "refine": 0})
    for asked in models:
        name, _, begin = asked.partition("@")
        sha, dimension = "", None
        if name not in POSES:
            found = find(name)
            sha, dimension = found.weights["sha256"], found.dimension
        given = replace(settings, start=begin) if begin else settings
        title = name if given.start == "moments" else f"{name}, start {given.start}"
        for suffix, kind, chosen in (("", "model", given.plain()), (", refined", "refined", given)):
            if not suffix or given.refine:
                made_with = {**vars(chosen), "sha256": sha}
                rows[title + suffix] = Runner(model(name, chosen), kind, title, made_with, dimension)
    return rows
