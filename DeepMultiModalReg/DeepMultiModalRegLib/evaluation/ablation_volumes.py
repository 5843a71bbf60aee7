"""An ablation's variants on volumes: the cases of a list through each of them, beside models, peers and the truth."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields

from ..engine import LoadedModel, register
from .ablation import Ablation
from .ablation_runs import Trained
from .cases import Case, data_folder
from .journal import Journal
from .runners import Outcome, Runner, Settings, runners
from .tabulate import described_cases, rows_of


def measured_rows(
    ablation: Ablation, variants: dict[str, Trained], options: argparse.Namespace, models: list[str], peers: list[str]
) -> list[dict]:
    """Every method on every case; those of an earlier run are not made again."""
    given = {field.name: getattr(options, field.name) for field in fields(Settings)}
    methods = runners(models, peers, Settings(**given))
    for name, one in variants.items():
        methods[ablation.variants[name].title] = variant(ablation, name, one, options)
    methods["truth"] = Runner(lambda case: Outcome(case.truth, 0.0), "start")
    journal = Journal(options.out / "rows.jsonl", resume=True)
    described = described_cases(ablation.cases["list"], ablation.cases["only"])
    return list(rows_of(described, methods, options, data_folder(options.data), journal, {}))


def variant(ablation: Ablation, name: str, one: Trained, options: argparse.Namespace) -> Runner:
    """A variant as a row: the engine's registration by its networks, in this process, without refinement."""
    config = ablation.config(name)
    model = LoadedModel(name, one.method, config["working"]["spacing"], one.digest)
    made_with = {"digest": one.digest, "start": options.start, "seed": options.seed, "device": options.device}

    def run(case: Case) -> Outcome:
        started = time.perf_counter()
        chosen = {key: made_with[key] for key in ("start", "seed", "device")}
        result = register(case.fixed, case.moving, model=model, **chosen)
        return Outcome(result.transform, time.perf_counter() - started, result.warped)

    return Runner(run, "model", name, made_with, model.dimension)


def explained(ablation: Ablation) -> str:
    return f"""\
Volumes: the cases of {ablation.cases["list"]} whose name or group has {ablation.cases["only"].replace("|", " or ")}, of
people that no variant has seen, one image of each under a known warp. All begin from moments, none is refined; models
and peers run in processes of their own. Dice, HD95: mean over the labels, which are carried by nearest neighbour.
error: mean distance to the known warp inside the head. The row truth: what the lattice costs.
"""
