"""A batch killed (SIGKILL) again and again and resumed each time ends with the same files, byte for byte, as one run
straight through. By hand; a test does the same with small pairs and three kills.

    python Testing/kill_proof.py --out DIR [--pairs 20] [--kills 10] [--seed 0] [--jobs 2] [--slices]

The pairs are the bundled one, each with its moving image moved by a seeded shift; with --slices single slices of it, by
the 2D model: a matter of two minutes instead of ten on two cores. The moments are drawn, in shares of
the time that the cases left take for each kill left: most count from when the first case writes its first file, every
fourth from the start of the process. Every second kill takes the batch alone (its workers must end by themselves), the
others the batch and its workers. Prints each kill and the verdict; exit code 0 where the files are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "DeepMultiModalReg"), str(ROOT / "Testing")]

import SimpleITK as sitk  # noqa: E402
from batch_pairs import results, write_list  # noqa: E402

from DeepMultiModalRegLib.evaluation.throughput import SAMPLE, write_shifted_pairs  # noqa: E402

MODELS = {False: "hierarchical-t1t2-brain-3d", True: "hierarchical-t1t2-brain-2d"}
FROM_START = 4  # every so many-th kill


def write_slices(folder: Path, count: int, seed: int) -> list[dict[str, str]]:
    """Slices of the bundled T1 and of the T2 on it, the T2's shifted in their plane; rows of a list."""
    folder.mkdir(parents=True)
    draw = random.Random(seed)
    fixed, moving = (sitk.ReadImage(str(SAMPLE / name)) for name in ("fixed_t1.nii.gz", "moving_t2.nii.gz"))
    moving = sitk.Resample(moving, fixed, sitk.ReadTransform(str(SAMPLE / "truth.h5")), sitk.sitkLinear, 0.0)
    rows = []
    for n in range(count):
        k = fixed.GetDepth() // 3 + n * fixed.GetDepth() // (3 * count)
        names = f"fixed{n:03d}.nrrd", f"moving{n:03d}.nrrd"
        for name, image in zip(names, (fixed[:, :, k], moving[:, :, k]), strict=True):
            shift = draw.uniform(-6, 6) if name.startswith("moving") else 0.0
            image.SetDirection((1.0, 0.0, 0.0, 1.0))  # the volume is oblique: its plane's part of that is no rotation
            image.SetOrigin([value + shift for value in image.GetOrigin()])
            sitk.WriteImage(image, str(folder / name), True)
        rows.append({"fixed": names[0], "moving": names[1], "id": f"slice{n:03d}"})
    return rows


def started(options: argparse.Namespace, out: Path) -> subprocess.Popen:
    words = ["batch", options.out / "pairs" / "cases.csv", "--out", out, "--model", MODELS[options.slices]]
    words += ["--inverse", "--translated", "--jobs", options.jobs]
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
    parser.add_argument("--slices", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    write = write_slices if options.slices else write_shifted_pairs
    rows = write(options.out / "pairs", options.pairs, options.seed)
    write_list(options.out / "pairs" / "cases.csv", rows)
    draw = random.Random(options.seed)
    straight, broken = options.out / "straight", options.out / "killed"
    process = started(options, straight)
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
        process = started(options, broken)
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
    code = started(options, broken).wait()
    first, second = results(straight), results(broken)
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    print(f"{kills} kills{' (it was done before the others)' if early else ''}, last run's exit code {code}")
    print(f"{len(first)} files straight through, {len(second)} after the kills, {len(differing)} of them differ")
    print("\n".join(differing[:9]))
    return 1 if differing or code or kills < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
