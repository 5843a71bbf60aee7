"""One registration in a process of its own, for the timing experiment: `python -m ...timing_worker TASK.json`.

TASK.json, beside fixed.mha and moving.mha: {"model", "device", "seed", "repeats"}. Writes TASK.json.out.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(path: str) -> None:
    from DeepMultiModalRegLib.engine import load, register
    from DeepMultiModalRegLib.evaluation.peer_worker import peak_megabytes
    from DeepMultiModalRegLib.io import read_image

    task = json.loads(Path(path).read_text())
    fixed, moving = (read_image(Path(path).with_name(f"{side}.mha"))[0] for side in ("fixed", "moving"))
    model = load(task["model"])
    ready = peak_megabytes()
    runs = []
    for _ in range(1 + task["repeats"]):
        started = time.perf_counter()
        report = register(fixed, moving, model, device=task["device"], seed=task["seed"]).report
        runs.append((time.perf_counter() - started, report))
    later = sorted(runs[1:], key=lambda run: run[0])
    seconds, report = later[len(later) // 2]
    steps = {key: value for key, value in report["seconds"].items() if key != "total"}
    answer = {
        "first": runs[0][0],
        "whole": seconds,
        "network": steps["network"],
        "steps": steps,
        "peak_mb": peak_megabytes(),
        "peak_mb_before": ready,
        "precision": report["machine"]["precision"],
        "working": report["parameters"]["working"],
        "warnings": report["warnings"],
    }
    Path(f"{path}.out").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
