"""The timing experiment: one 160x192x160 pair of 1 mm through the engine in a fresh process, beside antspyx SyN."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..core import Grid, Image, RegistrationError, reorient, resample
from ..io import read_image, write_json, write_text
from .cases import data_folder
from .fresh import in_fresh_process
from .head import head_mask
from .peers import STARTED, run_peer

SIZE = (160, 192, 160)
REPEATS = 3


def timing_pair(data: Path) -> tuple[Image, Image]:
    """BrainWeb T2 (fixed) and T1 under its known warp (moving), on 160x192x160 voxels of 1 mm about the head."""
    volumes = [reorient(read_image(data / "test" / "brainweb" / name)[0]) for name in ("t2.nii.gz", "t1_warped.nii.gz")]
    used = torch.nonzero(head_mask(volumes[0])).flip(-1).double()
    middle = (used.amin(0) + used.amax(0)) / 2
    matrix = volumes[0].grid.matrix
    grid = Grid.regular(SIZE, 1.0, matrix[:-1, :-1] @ middle + matrix[:-1, -1])
    return resample(volumes[0], grid), resample(volumes[1], grid)


def run_experiment(options: argparse.Namespace, models: list[str], peers: list[str]) -> int:
    """Prints and writes the table; returns the exit code."""
    from .command import about, facts_in_words

    fixed, moving = timing_pair(data_folder(options.data))
    rows: list[dict] = []
    for name in (name for name in peers if name not in STARTED):
        try:
            done = run_peer(name, [(fixed, moving)], options.seed, options.threads)
        except RegistrationError as error:
            rows.append({"method": name, "error": str(error)})
            continue
        one = done.results[0]
        spent = {"whole": one.seconds, "cpu_seconds": one.cpu_seconds}
        rows.append({"method": name, **spent, "peak_mb": done.peak_mb, "version": done.version})
    for name in models:
        rows.append(
            {"method": name, **fresh_process(fixed, moving, name, options.device, options.threads, options.seed)}
        )
    reference = next((row["whole"] for row in rows if row["method"] == "ants-syn" and "whole" in row), None)
    for row in rows:
        if reference is not None and "whole" in row:
            row["ratio"] = reference / row["whole"]
            row |= {"ratio_network": reference / row["network"]} if "network" in row else {}
    facts = about(options)
    text = facts_in_words(facts) + "\n" + _explained() + "\n" + _table(rows)
    write_json({"about": facts, "rows": rows}, options.out / "timing.json")
    write_text(text, options.out / "timing.md")
    print(text)
    return 5 if any("error" in row for row in rows) else 0


def fresh_process(fixed: Image, moving: Image, model: str, device: str, threads: int, seed: int) -> dict:
    """The engine on the pair in a process that has done nothing else: seconds, steps and its peak memory in MB."""
    try:
        done = in_fresh_process(
            fixed, moving, model, device=device, seed=seed, threads=threads, repeats=1 + REPEATS
        )
    except RegistrationError as error:
        return {"error": str(error)}
    later = sorted(done.runs[1:], key=lambda run: run["seconds"])
    middle = later[len(later) // 2]
    spent = {"first": done.runs[0]["seconds"], "whole": middle["seconds"], "cpu_seconds": middle["cpu_seconds"]}
    return {**spent, "network": middle["steps"].get("network", 0.0), "steps": middle["steps"], **done.figures}


def _explained() -> str:
    return f"""\
BrainWeb T2 (fixed) and T1 under its known warp (moving), {"x".join(map(str, SIZE))} voxels of 1 mm. Each method in a
fresh process, images in memory. first: its first registration; whole: the median of {REPEATS} later ones,
from both images to the transform and the warped image; CPU: user and system seconds of it; network: its network's part
alone; peak MB: the process's largest resident size, Python and libraries included. ratio: SyN's seconds over these.
"""


def _table(rows: list[dict]) -> str:
    columns = {"first": 2, "whole": 2, "cpu_seconds": 2, "network": 2, "peak_mb": 0, "ratio": 1, "ratio_network": 1}
    headings = ["first s", "whole s", "CPU s", "network s", "peak MB", "ratio", "ratio, network alone"]
    lines = ["| method | " + " | ".join(headings) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = [f"{row[key]:.{digits}f}" if key in row else "–" for key, digits in columns.items()]
        name = row["method"] + (f" ({row['error']})" if "error" in row else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
