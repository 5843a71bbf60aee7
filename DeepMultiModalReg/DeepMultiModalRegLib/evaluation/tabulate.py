"""Tabulate: every case through every method, rows as they come, then tables, a page and pictures."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from .. import __version__
from ..core import InputError
from ..io import require_writable, write_text
from . import pictures, table
from .cases import Case, data_folder, load_case, read_cases
from .journal import Journal
from .measure import measured
from .page import page
from .planar_cases import is_planar
from .runners import Runner, Settings, runners


def tabulate(options: argparse.Namespace, models: list[str], peers: list[str], facts: dict) -> int:
    """Returns the exit code: 0, or that of the first row that failed. However it ends, the rows so far are on disk.

    facts: of command.about. Raises InputError for wrong options."""
    described = described_cases(options.cases, options.only)
    data = data_folder(options.data)
    results = require_writable(options.results_page or options.out / "results.md")
    given = {field.name: getattr(options, field.name) for field in fields(Settings)}
    methods = runners(models, peers, Settings(**given))
    rows: list[dict] = []
    left_out: dict[str, list[str]] = {}
    journal = Journal(options.out / "rows.jsonl", options.resume)
    before = _load()
    try:
        for row in rows_of(described, methods, options, data, journal, left_out):
            rows.append(row)
    finally:
        if rows:
            facts = facts | {"load": f"{before} at the start, {_load()} at the end"}
            _write(options, rows, facts, results, left_out)
    print("\n" + table.grouped(rows))
    print(f"Tables and pictures: {options.out}; the page: {results}")
    return next((row["exit_code"] for row in rows if row.get("exit_code")), 0)


def described_cases(source: str, only: str | None) -> list[dict]:
    """The cases of a list whose name or group has `only` (A|B: or). Raises InputError where there is none."""
    described = [c for c in read_cases(source) if not only or _chosen(c, only)]
    if not described:
        raise InputError(f"No case's name or group contains '{only}'; list fewer letters of it.")
    return described


def rows_of(
    described: list[dict], methods: dict[str, Runner], options: argparse.Namespace, data: Path, journal: Journal,
    left_out: dict[str, list[str]],
) -> Iterator[dict]:  # fmt: skip
    """Every case through every method, row by row, with a picture of each in `options.out`; rows that the journal has
    are not made again. left_out: where the names of the peers that a case does without go."""
    from .command import processor

    common = {"surfaces": not options.no_surfaces, "machine": processor(), "library": __version__}
    for entry in described:
        case: Case | None = None
        for name, runner in methods.items():
            if not _serves(runner, is_planar(entry), options):
                continue
            if runner.kind == "peer" and name not in entry.get("peers", [name]):
                left_out.setdefault(entry["name"], []).append(name)
                continue
            made_with = {"settings": runner.settings, "case": entry, **common}
            row = journal.kept(entry["name"], name, made_with)
            if row is None:
                case = case or load_case(entry, data)
                row, transform, warped = measured(case, name, runner, not options.no_surfaces)
                journal.add(row, made_with)
                if warped is not None:
                    picture = pictures.panels(case.fixed, case.moving, warped, transform)
                    pictures.write_png(picture, _picture(options.out, row))
                print(_line(row), flush=True)
            yield row


def _write(options: argparse.Namespace, rows: list[dict], facts: dict, results: Path, left_out: dict) -> None:
    from .command import facts_in_words

    text = page(options.command.capitalize(), facts_in_words(facts), rows, left_out)
    table.write_csv(rows, options.out / "table.csv")
    table.write_labels(rows, options.out / "labels.csv")
    table.write_rows(rows, facts, options.out / "table.json")
    write_text(text, results)
    shown = [(row["case"], row["method"], _picture(options.out, row)) for row in rows]
    shown = [entry for entry in shown if entry[2].is_file()]
    pictures.write_page(f"deepmultimodalreg {options.command}", text, shown, options.out / "index.html")


def _serves(runner: Runner, planar: bool, options: argparse.Namespace) -> bool:
    """Whether a row belongs in the table: no volume model on slices; and of a benchmark of all models none that works
    slice by slice on volumes, where those of volumes are."""
    if planar:
        return runner.dimension in (None, 2)
    return not (options.command == "benchmark" and options.models == "all" and runner.dimension == 2)


def _chosen(case: dict, only: str) -> bool:
    return any(word in f"{case['name']} {case.get('group')}" for word in only.split("|"))


def _picture(folder: Path, row: dict) -> Path:
    return folder / (re.sub(r"[^A-Za-z0-9._-]+", "-", f"{row['case']}_{row['method']}") + ".png")


def _load() -> str:
    """How many processes wanted a processor in the last minute, on average: what the wall times are worth."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _line(row: dict) -> str:
    """A row as it comes, in one line."""
    if "error" in row:
        return f"{row['case']}: {row['method']}: {row['error']}"
    figures = [f"Dice {row[key]:.3f} ({key.removeprefix('dice_')})" for key in row if re.fullmatch(r"dice_[a-z]+", key)]
    if "error_mean_mm" in row:
        figures.append(f"error {row['error_mean_mm']:.2f} mm")
    return f"{row['case']}: {row['method']}: {', '.join(figures)}, folds {row['folds']:.4f} %, {row['seconds']:.1f} s"
