"""The commands `evaluate` and `benchmark`: cases in, a table and a page of pictures out."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import re
import shlex
import sys
from pathlib import Path

from ..core import RegistrationError
from . import poses
from .peer_worker import PEERS

TABLES = ("equivariant-table2", "equivariant-table3", "equivariant-table4")
# evaluation/ablations; named here so that help comes at once
ABLATIONS = ("innreg-ablations", "nemar-ablations", "nemar-volumes-ablations")
ALONE = ("slices", "timing", "start", "batch", "poses", "memory", "own-offset", "disentangled-table")
EXPERIMENTS = (*ALONE, *TABLES, *ABLATIONS)
SLICES_OF = ("brainweb", "albert", "ct-mr21")  # evaluation.slice_pairs.SOURCES; named here so that help comes at once
STARTS = ("rigid", "affine", "affine@network")  # of a benchmark of all models
REFINE = 20  # steps a level: it ends earlier where nothing is gained
UNSAID = ("run", "command", "out", "data", "debug", "default_of", "resume", "results_page")


def add_arguments(subparsers) -> None:
    """Adds the parsers of both commands; `run` takes what they parse."""
    for name, cases, peers, text in (
        ("evaluate", "acceptance", "none", "measure models on cases with known truth"),
        ("benchmark", "benchmark,slices", "all", "the same cases through other tools in the same run"),
    ):
        parser = subparsers.add_parser(name, help=text)
        parser.set_defaults(run=run, command=name)
        lists = f"YAML files or shipped lists (default {cases})"
        parser.add_argument("--cases", default=cases, metavar="FILE|NAME,...", help=lists)
        parser.add_argument("--only", metavar="TEXT", help="of the cases, those whose name or group has TEXT (A|B: or)")
        parser.add_argument("--experiment", choices=EXPERIMENTS, help="instead of cases: an experiment of its own")
        every = "default all; NAME@START: from a start of its own"
        parser.add_argument("--models", default="all", metavar="NAME,...|all|none", help=every)
        parser.add_argument("--peers", default=peers, metavar="NAME,...|all|none", help=f"of {', '.join(PEERS)}")
        parser.add_argument("--start", default="moments", help="what the models start from (default moments)")
        parser.add_argument(
            "--refine", type=int, default=REFINE, metavar="N", help=f"also with N steps (default {REFINE}; 0: no)"
        )
        parser.add_argument("--refine-by", default="mind", help="mind, mi, ncc or model (default mind)")
        parser.add_argument("--data", metavar="DIR", help="where the cases' files are (or DEEPMULTIMODALREG_DATA)")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for tables and pictures")
        parser.add_argument("--results-page", type=Path, metavar="FILE", help="where to (default results.md in --out)")
        parser.add_argument("--resume", action="store_true", help="keep the rows in --out, make those that are missing")
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
        parser.add_argument("--threads", type=int, metavar="N", help="threads for models and peers (default: all)")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--no-surfaces", action="store_true", help="leave HD95 out (it takes seconds a row)")
        parser.add_argument("--slices", type=int, default=60, metavar="N", help="pairs of the slices experiment")
        parser.add_argument("--slices-of", default="brainweb", choices=SLICES_OF, help="whose (default brainweb)")
        parser.add_argument("--exchanged", action="store_true", help="slices: the other modality fixed")
        parser.add_argument("--batch-pairs", type=int, default=8, metavar="N", help="pairs of the batch experiment")
        parser.add_argument("--deformation", type=float, default=6.0, metavar="PX", help="its largest deformation")
        poses.add_arguments(parser)
        parser.set_defaults(default_of=parser.get_default)


def run(options: argparse.Namespace) -> int:
    """Returns the exit code: 0, or that of the first row that failed (a peer that is not installed is no failure).

    Raises RegistrationError for wrong options."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    options.threads = torch.get_num_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.experiment == "slices":
        from .slices import run_experiment

        return run_experiment(options, chosen_models(options.models, dimension=2), chosen_peers(options.peers))
    if options.experiment == "timing":
        from .timing import run_experiment

        return run_experiment(options, chosen_models(options.models, dimension=3), chosen_peers(options.peers))
    if options.experiment == "start":
        from .start_timing import run_experiment

        return run_experiment(options)
    if options.experiment == "batch":
        from .throughput import run_experiment

        return run_experiment(options, chosen_models(options.models, dimension=3))
    if options.experiment and options.experiment.startswith("equivariant"):
        from .equivariance_tables import run_experiment

        return run_experiment(options)
    if options.experiment == "disentangled-table":
        from .disentangled_table import run_experiment

        return run_experiment(options, chosen_models(options.models, dimension=2), chosen_peers(options.peers))
    if options.experiment == "memory":
        from .translator_memory import run_experiment

        return run_experiment(options)
    if options.experiment == "own-offset":
        from .own_offset import run_experiment

        return run_experiment(options)
    if options.experiment in ABLATIONS:
        from .ablations import run_experiment

        return run_experiment(options)
    if options.experiment == "poses":
        return poses.run_experiment(options, poses.chosen_models(options.models), poses.chosen_peers(options.peers))
    from .tabulate import tabulate

    models = benchmarked() if options.command == "benchmark" and options.models == "all" else None
    return tabulate(options, models or chosen_models(options.models), chosen_peers(options.peers), about(options))


def benchmarked() -> list[str]:
    """All models, of a benchmark: rigid, the affine from either start, and those of the catalogue but for CT, of which
    its cases have none."""
    from ..engine import find

    others = [name for name in chosen_models("all") if name != "affine"]
    return [*STARTS, *(name for name in others if "CT" not in find(name).modalities)]


def chosen_models(names: str, dimension: int | None = None) -> list[str]:
    """The models asked for; all: the engine's affine and those of the catalogue (of the dimension, if given)."""
    from ..engine import installed_models

    if names == "none":
        return []
    if names != "all":
        return [name for name in names.split(",") if name]
    models, broken = installed_models()
    for sentence in broken:
        print(sentence, file=sys.stderr)
    names_of = [model.name for model in models if dimension in (None, model.dimension)]
    return names_of if dimension else ["affine", *names_of]


def chosen_peers(names: str) -> list[str]:
    return list(PEERS) if names == "all" else [] if names == "none" else [name for name in names.split(",") if name]


def about(options: argparse.Namespace) -> dict:
    """What the figures were made with and on: command, date, versions, hardware."""
    import torch

    from ..engine.device import choose_device, device_name
    from ..engine.report import versions

    device = choose_device(options.device)
    words = [
        f"--{key.replace('_', '-')}" + ("" if value is True else f" {shlex.quote(str(value))}")
        for key, value in vars(options).items()
        if key not in UNSAID and value != options.default_of(key)
    ]
    return {
        "command": f"deepmultimodalreg {options.command} " + " ".join(words),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": versions(),
        "device": str(device),
        "device_name": device_name(device),
        "processor": processor(),
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name, how many cores this process may use, and the memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (found := re.search(r"model name\s*: (.*)", info.read_text())):
        name = found.group(1)
    memory = ""
    with contextlib.suppress(OSError, ValueError):  # not on every system
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    return f"{name}, {cores} cores{memory}"


def facts_in_words(facts: dict) -> str:
    """`about` as lines of Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    machine = f"{facts['processor']}, {facts['threads']} threads, device {facts['device']} ({facts['device_name']})"
    machine += f", load {facts['load']}" if "load" in facts else ""
    return f"Command: `{facts['command']}`\n\nDate: {facts['date']}\n\nMachine: {machine}\n\nVersions: {versions}\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="deepmultimodalreg")
    add_arguments(parser.add_subparsers(dest="command", required=True))
    try:
        return run(parser.parse_args(arguments))
    except RegistrationError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
