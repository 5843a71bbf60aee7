"""Registrations in a process of their own: `python -m DeepMultiModalRegLib.evaluation.model_worker TASK.json`.

So that a model's memory is counted apart, and its time as that of other tools: from a process that has done nothing.
TASK.json, beside fixed.mha and moving.mha: {"model", "start", "refine", "refine_by", "device", "seed", "repeats"}.
Writes TASK.json.out (figures) and TASK.json.found (the last run's transform and warped image, pickled for the parent).
On an accelerator a first run, not counted, wakes the device. A failure is a sentence on stderr and its exit code.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path


def main(path: str) -> None:
    from DeepMultiModalRegLib.engine import load, register
    from DeepMultiModalRegLib.engine.device import choose_device
    from DeepMultiModalRegLib.engine.start import POSES
    from DeepMultiModalRegLib.evaluation.peer_worker import peak_megabytes
    from DeepMultiModalRegLib.io import read_image

    task = json.loads(Path(path).read_text())
    fixed, moving = (read_image(Path(path).with_name(f"{side}.mha"))[0] for side in ("fixed", "moving"))
    # reading and checking the weights is not registration
    model = task["model"] if task["model"] in POSES else load(task["model"])
    settings = {key: task[key] for key in ("start", "refine", "refine_by", "device", "seed")}
    ready = peak_megabytes()
    if choose_device(task["device"]).type != "cpu":
        register(fixed, moving, model, **settings)
    runs = []
    for _ in range(task["repeats"]):
        started, used = time.perf_counter(), time.process_time()
        result = register(fixed, moving, model, **settings)
        spent = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}
        steps = {key: value for key, value in result.report["seconds"].items() if key != "total"}
        runs.append({**spent, "steps": steps})
    answer = {
        "runs": runs,
        "peak_mb": peak_megabytes(),
        "peak_mb_before": ready,
        "device_mb": result.report["peak_memory_mb"].get("device"),
        "precision": result.report["machine"]["precision"],
        "working": result.report["parameters"]["working"],
        "warnings": result.report["warnings"],
        "sha256": result.report["model"].get("sha256", ""),
    }
    Path(f"{path}.found").write_bytes(pickle.dumps((result.transform, result.warped), protocol=5))
    Path(f"{path}.out").write_text(json.dumps(answer))


def guarded(path: str) -> int:
    from DeepMultiModalRegLib.core import RegistrationError

    try:
        main(path)
    except RegistrationError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(guarded(sys.argv[1]))
