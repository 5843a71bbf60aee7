"""The start experiment: how long the network takes to find a pair's first alignment, on the pairs of the poses."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from ..engine.body import body_points
from ..engine.device import Precision
from ..engine.foreground import background
from ..engine.network import Pair
from ..engine.network_start import network_start, starting_model
from ..engine.start import begin
from ..io import write_json, write_text
from .cases import data_folder, load_case, read_cases
from .poses import LIST

REPEATS = 5


def run_experiment(options: argparse.Namespace) -> int:
    """Prints and writes the table; returns the exit code."""
    from .command import about, facts_in_words

    rows = []
    for described in read_cases(LIST):
        case = load_case(described, data_folder(options.data))
        pair = Pair(case.fixed, case.moving, None, None, background(case.fixed), background(case.moving))
        rows.append({"pair": case.name, "voxels": [i.tensor[0].numel() for i in (case.fixed, case.moving)]})
        rows[-1] |= timed(pair, options.device)
    facts = about(options)
    text = facts_in_words(facts) + "\n" + EXPLAINED + "\n" + table(rows)
    write_json({"about": facts, "rows": rows}, options.out / "start.json")
    write_text(text, options.out / "start.md")
    print(text)
    return 0


def timed(pair: Pair, device: str) -> dict:
    """Seconds and CPU seconds of the looks at both images, and of the whole start; doubt in mm."""
    chosen = torch.device("cpu" if device == "auto" else device)
    model = starting_model(pair.fixed.grid.dimension)

    def looks():
        bodies = body_points(pair.fixed), body_points(pair.moving)
        return network_start(pair, bodies, model, Precision.best(chosen))

    found, seconds, cpu = _median(looks)
    _, whole, whole_cpu = _median(lambda: begin(pair, "network", chosen))
    return {
        "seconds": seconds, "cpu_seconds": cpu, "whole": whole, "whole_cpu": whole_cpu,
        "scans": found.report["scans"], "doubt_mm": found.report["doubt_mm"],
    }  # fmt: skip


def _median(work: Callable) -> tuple:
    """What `work` gives, and the medians of its seconds and CPU seconds over some runs, the first of which is for
    warming up."""
    spent = []
    for _ in range(1 + REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (sorted(column)[REPEATS // 2] for column in zip(*spent[1:], strict=True))
    return found, wall, cpu


EXPLAINED = f"""\
Images as they are on disk, in memory. looks: both bodies and the network's looks at both images, to the pair's first
transform; start: the whole start 'network', with the two coarse levels of mutual information that follow. Medians of
{REPEATS} runs after one. scans, doubt: of the fixed and the moving image.
"""


def table(rows: list[dict]) -> str:
    lines = ["| pair | million voxels | looks s | CPU s | start s | CPU s | scans | doubt mm |", "|---|" + "---:|" * 7]
    for row in rows:
        voxels = ", ".join(f"{n / 1e6:.1f}" for n in row["voxels"])
        seconds = " | ".join(f"{row[key]:.2f}" for key in ("seconds", "cpu_seconds", "whole", "whole_cpu"))
        doubt = ", ".join(f"{mm:.1f}" for mm in row["doubt_mm"])
        lines.append(f"| {row['pair']} | {voxels} | {seconds} | {', '.join(map(str, row['scans']))} | {doubt} |")
    return "\n".join(lines) + "\n"
