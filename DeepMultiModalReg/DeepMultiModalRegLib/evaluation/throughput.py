"""The throughput experiment: cases per hour and memory of one batch, beside one call of `register` after the other.

    deepmultimodalreg evaluate --experiment batch --models hierarchical-t1t2-brain-3d --out DIR [--batch-pairs 8]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

from ..batch.pool import HOME, cores
from ..core.errors import InputError, RegistrationError
from ..io import write_json, write_text

SAMPLE = Path(HOME).parent / "Resources" / "SampleData"
PERIOD = 0.25  # seconds between two looks at the memory
MOST_MM = 8.0  # a pair's shift along each axis
EXPLAINED = """\
The bundled pair, its moving image at another place each time. One call after the other: `register`, which writes the
transform, the warped volume and the report; the batch draws its pictures besides. seconds: from the first command to
the last file; processor: of all cores together, which another program's work disturbs less; peak MB: of all processes
together, shared pages counted once; load: of the machine, before.
"""


def write_shifted_pairs(folder: Path, count: int, seed: int) -> list[dict[str, str]]:
    """The bundled pair `count` times, each moving image at another place; rows of a list that lies in `folder`.

    The files are named by number and lie in `folder`, which is made. Raises InputError where the sample is missing.
    """
    if not (SAMPLE / "moving_t2.nii.gz").is_file():
        raise InputError(f"The bundled pair is not here ({SAMPLE}); run this from the repository's clone.")
    folder.mkdir(parents=True)
    draw = random.Random(seed)
    fixed, moving = (sitk.ReadImage(str(SAMPLE / name)) for name in ("fixed_t1.nii.gz", "moving_t2.nii.gz"))
    sitk.WriteImage(fixed, str(folder / "fixed.nii.gz"))
    rows = []
    for n in range(count):
        shifted = sitk.Image(moving)
        shifted.SetOrigin([value + draw.uniform(-MOST_MM, MOST_MM) for value in moving.GetOrigin()])
        sitk.WriteImage(shifted, str(folder / f"moving{n:03d}.nii.gz"))
        rows.append({"fixed": "fixed.nii.gz", "moving": f"moving{n:03d}.nii.gz", "id": f"pair{n:03d}"})
    return rows


def run_experiment(options: argparse.Namespace, models: list[str]) -> int:
    """Prints and writes a table for each model; returns the exit code."""
    from .command import about, facts_in_words

    facts = about(options)
    tables = {model: measured(options.batch_pairs, model, options.seed) for model in models}
    text = facts_in_words(facts) + "\n" + EXPLAINED
    for model, rows in tables.items():
        text += f"\n{model}, {options.batch_pairs} pairs:\n\n{_table(rows, options.batch_pairs)}"
    write_json({"about": facts, "pairs": options.batch_pairs, "tables": tables}, options.out / "batch.json")
    write_text(text, options.out / "batch.md")
    print(text)
    return 0


def measured(pairs: int, model: str, seed: int) -> list[dict]:
    """A row for each way to register the pairs."""
    with tempfile.TemporaryDirectory(prefix="throughput-") as temporary:
        folder = Path(temporary) / "pairs"
        rows = write_shifted_pairs(folder, pairs, seed)
        with (folder / "cases.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        every = cores()
        ways: list[tuple[str, int, int, Callable]] = [("one call after the other", 1, every, singly)]
        for jobs, threads in dict.fromkeys([(1, 1), (1, every), (every, 1)]):
            ways.append(("batch", jobs, threads, in_a_batch))
        found = []
        for number, (name, jobs, threads, way) in enumerate(ways):
            place = Path(temporary) / f"out{number}"
            place.mkdir()
            found.append({
                "way": name, "workers": jobs, "threads": threads, "load": round(os.getloadavg()[0], 1),
                **way(folder, rows, place, model, jobs, threads),
            })  # fmt: skip
            print(_line(found[-1], pairs), file=sys.stderr, flush=True)
    return found


def singly(folder: Path, rows: list[dict], out: Path, model: str, _jobs: int, threads: int) -> dict:
    watch = Watch()
    for row in rows:
        watch.run([
            "register", "--fixed", folder / row["fixed"], "--moving", folder / row["moving"], "--model", model,
            "--output-transform", out / f"{row['id']}.h5", "--output-volume", out / f"{row['id']}.nii.gz",
            "--report", out / f"{row['id']}.json",
        ], threads)  # fmt: skip
    return watch.figures()


def in_a_batch(folder: Path, _rows: list[dict], out: Path, model: str, jobs: int, threads: int) -> dict:
    watch = Watch()
    words = ["batch", folder / "cases.csv", "--out", out, "--model", model, "--jobs", jobs, "--threads", threads]
    watch.run(words, threads)
    return watch.figures()


class Watch:
    """Seconds, processor seconds and peak memory of commands and all their children."""

    def __init__(self) -> None:
        self.seconds = self.processor = self.peak = 0.0

    def run(self, words: list, threads: int) -> None:
        """Raises RegistrationError with what the command said, where it fails."""
        library = [HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(library)}
        before, began = sum(os.times()[2:4]), time.monotonic()
        with tempfile.TemporaryFile("w+") as said:
            child = subprocess.Popen(
                [sys.executable, "-m", "DeepMultiModalRegLib", *map(str, words)], env=environment,
                stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip
            while child.poll() is None:
                self.peak = max(self.peak, memory_of(child.pid))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(PERIOD)
            said.seek(0)
            if child.returncode:
                raise RegistrationError(f"The command {words[0]} failed: {said.read()[-300:].strip()}")
        self.seconds += time.monotonic() - began
        self.processor += sum(os.times()[2:4]) - before

    def figures(self) -> dict:
        return {"seconds": self.seconds, "processor": self.processor, "peak_mb": self.peak / 1e6}


def memory_of(process: int) -> float:
    """Bytes that a process and its children hold, shared pages divided among their holders; 0 where /proc has no
    answer."""
    total = 0.0
    with contextlib.suppress(OSError, StopIteration):
        with open(f"/proc/{process}/smaps_rollup") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
        with open(f"/proc/{process}/task/{process}/children") as file:
            children = file.read().split()
        for thread in Path(f"/proc/{process}/task").iterdir():
            if thread.name != str(process):
                children += (thread / "children").read_text().split()
        total += sum(memory_of(int(child)) for child in children)
    return total


def _table(rows: list[dict], pairs: int) -> str:
    head = "| | workers x threads | seconds | cases an hour | processor s a case | peak MB | load before |\n"
    head += "|---|---:|---:|---:|---:|---:|---:|\n"
    return head + "".join(_line(row, pairs) + "\n" for row in rows)


def _line(row: dict, pairs: int) -> str:
    return (
        f"| {row['way']} | {row['workers']} x {row['threads']} | {row['seconds']:.1f} | "
        f"{3600 * pairs / row['seconds']:.0f} | {row['processor'] / pairs:.1f} | {row['peak_mb']:.0f} | {row['load']} |"
    )
