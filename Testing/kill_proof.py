"""A batch killed (SIGKILL) again and again and resumed each time ends with the same files, byte for byte, as one run
straight through. By hand; a test does the same with small pairs and three kills.

    python Testing/kill_proof.py --out DIR [--pairs 20] [--kills 10] [--seed 0] [--jobs 2]

The pairs are the bundled one, each with its moving image moved by a seeded shift. The moments are drawn, in shares of
the time that the cases left take for each kill left: most count from when the first case writes its first file, every
fourth from the start of the process. Every second kill takes the batch alone (its workers must end by themselves), the
others the batch and its workers. Prints each kill and the verdict; exit code 0 where the files are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "DeepMultiModalReg"), str(ROOT / "Testing")]

from batch_pairs import results  # noqa: E402

from DeepMultiModalRegLib.evaluation.throughput import write_shifted_pairs  # noqa: E402

MODEL = "hierarchical-t1t2-brain-3d"
FROM_START = 4  # every so many-th kill


def started(folder: Path, out: Path, jobs: int) -> subprocess.Popen:
    words = ["batch", folder / "cases.csv", "--out", out, "--model", MODEL, "--inverse", "--translated", "--jobs", jobs]
    return subprocess.Popen(
        [sys.executable, "-m", "DeepMultiModalRegLib", *map(str, words), "--resume"], stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "DeepMultiModalReg")},
    )  # fmt: skip


def wait_for_a_case(process: subprocess.Popen, out: Path) -> None:
    """Until a file of a case is being made; what an earlier kill left does not count."""
    since = time.time()
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if any(path.stat().st_mtime > since for path in out.glob(".part-*/*")):
                return
        time.sleep(0.01)


def finished(out: Path) -> int:
    return len(list(out.glob("[!.]*/report.json")))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    for name, default in (("pairs", 20), ("kills", 10), ("seed", 0), ("jobs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    rows = write_shifted_pairs(options.out / "pairs", options.pairs, options.seed)
    with (options.out / "pairs" / "cases.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    draw = random.Random(options.seed)
    straight, broken = options.out / "straight", options.out / "killed"
    process = started(options.out / "pairs", straight, options.jobs)
    wait_for_a_case(process, straight)
    began = time.monotonic()
    if process.wait():
        print("The run straight through failed.")
        return 1
    whole = time.monotonic() - began
    print(f"straight through: {whole:.0f} s from the first case on, {finished(straight)} cases", flush=True)
    kills = early = 0
    while kills < options.kills:
        left = (options.pairs - finished(broken)) / options.pairs
        moment = draw.uniform(0.0, 1.5 * whole * left / (options.kills - kills))
        process = started(options.out / "pairs", broken, options.jobs)
        at_start = kills % FROM_START == FROM_START - 1
        if not at_start:
            wait_for_a_case(process, broken)
        end = time.monotonic() + moment
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.005)
        if process.poll() is not None:
            early += 1
            break
        if kills % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        half = [path.name for path in broken.glob(".*")]
        who = "the batch and its workers" if kills % 2 == 0 else "the batch"
        when = f"{moment:.2f} s after {'the start' if at_start else 'the first file'}"
        print(f"kill {kills}, {when}, {who}: {finished(broken)} finished, left {half}", flush=True)
    code = started(options.out / "pairs", broken, options.jobs).wait()
    first, second = results(straight), results(broken)
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    print(f"{kills} kills{' (it was done before the others)' if early else ''}, last run's exit code {code}")
    print(f"{len(first)} files straight through, {len(second)} after the kills, {len(differing)} of them differ")
    print("\n".join(differing[:9]))
    return 1 if differing or code or kills < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
