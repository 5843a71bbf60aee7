"""A batch killed (SIGKILL) again and again and resumed each time ends with the same files, byte for byte, as one run
straight through. By hand; a test does the same with small pairs and three kills.

    python Testing/kill_proof.py --out DIR [--pairs 20] [--kills 10] [--seed 0] [--jobs 2]

The pairs are the bundled one, each with its moving image moved by a seeded shift. Every second kill takes the batch
alone (its workers must notice), the others the batch and its workers. Prints each kill and the verdict; exit code 0
where the files are the same.
"""

from __future__ import annotations

import argparse
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
IMPORTING = 6.0  # seconds, about, until the first case begins


def started(folder: Path, out: Path, jobs: int) -> subprocess.Popen:
    words = ["batch", folder / "cases.csv", "--out", out, "--model", MODEL, "--inverse", "--translated", "--jobs", jobs]
    return subprocess.Popen(
        [sys.executable, "-m", "DeepMultiModalRegLib", *map(str, words), "--resume"], stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "DeepMultiModalReg")},
    )  # fmt: skip


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
    began = time.monotonic()
    if started(options.out / "pairs", straight, options.jobs).wait():
        print("The run straight through failed.")
        return 1
    whole = time.monotonic() - began
    print(f"straight through: {whole:.0f} s, {finished(straight)} cases", flush=True)
    a_case = max(0.1, (whole - IMPORTING) / options.pairs)
    kills = early = 0
    while kills < options.kills:
        share = (options.pairs - finished(broken)) * a_case / (options.kills - kills)
        moment = draw.uniform(0.0, IMPORTING + 1.5 * share)
        process = started(options.out / "pairs", broken, options.jobs)
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
        print(f"kill {kills} after {moment:5.2f} s, {who}: {finished(broken)} finished, left {half}", flush=True)
    code = started(options.out / "pairs", broken, options.jobs).wait()
    first, second = results(straight), results(broken)
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    print(f"{kills} kills{' (it was done before the others)' if early else ''}, last run's exit code {code}")
    print(f"{len(first)} files straight through, {len(second)} after the kills, {len(differing)} of them differ")
    print("\n".join(differing[:9]))
    return 1 if differing or code or kills < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
