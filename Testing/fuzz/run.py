"""Runs the fuzz and tells what it found: `python Testing/fuzz/run.py --count 1000 [--seed 0] [--first N]`.

Exit code 0 when every case was either done or refused in one sentence, in time, with nothing left behind.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "DeepMultiModalReg")]

HANG = 120  # seconds without an answer; a case takes a fraction of one


def fuzz(seed: int, first: int, count: int, folder: Path) -> list[dict]:
    """What came of each case, in order; see worker.py. Crashes and hangs are results too."""
    from fakes import write_tiny_model

    models = folder / "models"
    write_tiny_model(models, "tiny")
    write_tiny_model(models, "tiny-2d", dimension=2)
    results, number = [], first
    while number < first + count:
        results += _batch(seed, number, first + count - number, folder, models)
        number = results[-1]["number"] + 1
    return results


def _batch(seed: int, first: int, count: int, folder: Path, models: Path) -> list[dict]:
    """Until the worker is through, or dead."""
    words = [sys.executable, str(HERE / "worker.py"), *map(str, (seed, first, count, folder, models))]
    # memory that is read before it is written holds large numbers then (glibc), not the noughts it mostly has
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MALLOC_PERTURB_": "1"}
    results, begun = [], first
    with (folder / "worker.log").open("ab") as log:
        worker = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=environment, bufsize=0)
        try:
            while len(results) < count:
                ready, _, _ = select.select([worker.stdout], [], [], HANG)
                line = worker.stdout.readline() if ready else b""
                if not line:
                    end = f"the process died ({worker.wait()})" if ready else f"no answer for {HANG} s"
                    results.append(
                        {"number": begun, "kind": "?", "words": [], "code": None, "problems": [end], "said": ""}
                    )
                    break
                told = json.loads(line)
                if "begin" in told:
                    begun = told["begin"]
                else:
                    results.append(told)
        finally:
            worker.kill()
            worker.wait()
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder in which the files of the bad cases stay")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        results = fuzz(options.seed, options.first, options.count, folder)
    for one in results:
        if one["problems"]:
            print(f"{one['number']} ({one['kind']}) {'; '.join(one['problems'])}")
            print(f"  {' '.join(one['words'])}\n  {one['said']}")
    table = collections.Counter((one["kind"], one["code"]) for one in results)
    for (kind, code), count in sorted(table.items(), key=str):
        print(f"{kind:<9} exit code {code}: {count}")
    bad = sum(bool(one["problems"]) for one in results)
    print(f"{len(results)} cases, {bad} with problems, {time.perf_counter() - began:.0f} s.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
