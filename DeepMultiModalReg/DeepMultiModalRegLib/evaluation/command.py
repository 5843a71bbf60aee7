"""The commands `evaluate` and `benchmark`: cases in, a table and a page of pictures out."""

from __future__ import annotations

import argparse
import datetime
import platform
import re
import sys
from dataclasses import fields
from pathlib import Path

from ..core import InputError, RegistrationError
from . import poses
from .peer_worker import PEERS

EXPERIMENTS = ("slices", "timing", "poses")
# options at these values are not worth a word in the results
DEFAULTS = {"start": "moments", "refine_by": "mind", "device": "auto", "seed": 0, "slices": 60, "deformation": 6.0}


def add_arguments(subparsers) -> None:
    """Adds the parsers of both commands; `run` takes what they parse."""
    for name, peers, text in (
        ("evaluate", "none", "measure models on cases with known truth"),
        ("benchmark", "all", "the same cases through other tools in the same run"),
    ):
        parser = subparsers.add_parser(name, help=text)
        parser.set_defaults(run=run, command=name)
        parser.add_argument("--cases", default="acceptance", metavar="FILE|NAME", help="a YAML file, or a shipped list")
        parser.add_argument("--only", metavar="TEXT", help="of the cases, those whose name or group contains TEXT")
        parser.add_argument("--experiment", choices=EXPERIMENTS, help="instead of cases: an experiment of its own")
        parser.add_argument("--models", default="all", metavar="NAME,...|all|none", help="default all")
        parser.add_argument("--peers", default=peers, metavar="NAME,...|all|none", help=f"of {', '.join(PEERS)}")
        parser.add_argument("--start", default="moments", help="what the models start from (default moments)")
        parser.add_argument(
            "--refine", type=int, default=0, metavar="N", help="also with N steps of refinement a level"
        )
        parser.add_argument("--refine-by", default="mind", help="mind, mi, ncc or model (default mind)")
        parser.add_argument("--data", metavar="DIR", help="where the cases' files are (or DEEPMULTIMODALREG_DATA)")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for tables and pictures")
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
        parser.add_argument("--threads", type=int, metavar="N", help="threads for models and peers (default: all)")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--no-surfaces", action="store_true", help="leave HD95 out (it takes seconds a row)")
        parser.add_argument("--slices", type=int, default=60, metavar="N", help="pairs of the slices experiment")
        parser.add_argument("--deformation", type=float, default=6.0, metavar="PX", help="its largest deformation")
        poses.add_arguments(parser)


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
    if options.experiment == "poses":
        return poses.run_experiment(options, poses.chosen_models(options.models), poses.chosen_peers(options.peers))
    return _tabulate(options)


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
    words = [f"--{key.replace('_', '-')} {value}" for key, value in vars(options).items() if _worth_saying(key, value)]
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
    """The processor's name and how many cores this process may use."""
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (found := re.search(r"model name\s*: (.*)", info.read_text())):
        name = found.group(1)
    return f"{name}, {cores} cores"


def facts_in_words(facts: dict) -> str:
    """`about` as lines of Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    machine = f"{facts['processor']}, {facts['threads']} threads, device {facts['device']} ({facts['device_name']})"
    return f"Command: `{facts['command']}`\n\nDate: {facts['date']}\n\nMachine: {machine}\n\nVersions: {versions}\n"


def _worth_saying(key: str, value) -> bool:
    unsaid = ("run", "command", "out", "data", "debug")
    return key not in unsaid and value not in (None, False, 0, "", DEFAULTS.get(key))


def _tabulate(options: argparse.Namespace) -> int:
    from ..io import write_text
    from . import pictures, table
    from .cases import data_folder, load_case, read_cases
    from .measure import measured
    from .runners import Settings, runners

    cases = [
        c for c in read_cases(options.cases) if options.only is None or options.only in f"{c['name']} {c.get('group')}"
    ]
    if not cases:
        raise InputError(f"No case's name or group contains '{options.only}'; list fewer letters of it.")
    data = data_folder(options.data)
    given = {field.name: getattr(options, field.name) for field in fields(Settings)}
    rows_of = runners(chosen_models(options.models), chosen_peers(options.peers), Settings(**given))
    rows: list[dict] = []
    shown: list[tuple[str, str, Path]] = []
    for described in cases:
        case = load_case(described, data)
        for name, runner in rows_of.items():
            row, transform, warped = measured(case, name, runner, not options.no_surfaces)
            rows.append(row)
            print(_line(row), flush=True)
            if warped is not None:
                path = options.out / (re.sub(r"[^A-Za-z0-9._-]+", "-", f"{case.name}_{name}") + ".png")
                pictures.write_png(pictures.panels(case.fixed, case.moving, warped, transform), path)
                shown.append((case.name, name, path))
    facts = about(options)
    text = f"{facts_in_words(facts)}\n## Means\n\n{table.grouped(rows)}\n## Every case\n\n{table.by_case(rows)}"
    table.write_csv(rows, options.out / "table.csv")
    table.write_rows(rows, facts, options.out / "table.json")
    write_text(text, options.out / "table.md")
    pictures.write_page(f"deepmultimodalreg {options.command}", text, shown, options.out / "index.html")
    print("\n" + table.grouped(rows))
    print(f"Tables and pictures: {options.out}")
    return next((row["exit_code"] for row in rows if row.get("exit_code")), 0)


def _line(row: dict) -> str:
    """A row as it comes, in one line."""
    if "error" in row:
        return f"{row['case']}: {row['method']}: {row['error']}"
    figures = [f"Dice {row[key]:.3f} ({key.removeprefix('dice_')})" for key in row if re.fullmatch(r"dice_[a-z]+", key)]
    if "error_mean_mm" in row:
        figures.append(f"error {row['error_mean_mm']:.2f} mm")
    return f"{row['case']}: {row['method']}: {', '.join(figures)}, folds {row['folds']:.4f} %, {row['seconds']:.1f} s"


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
