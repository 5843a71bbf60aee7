"""Fresh: the engine on a pair in a process that has done nothing else."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from ..core import Image, InputError, MemoryShortage, RegistrationError, Transform
from ..io.image import sitk_from
from ..waiting import PATIENT

ERRORS = {error.exit_code: error for error in (InputError, MemoryShortage)}


@dataclass(frozen=True)
class Fresh:
    """transform, warped: of the last run. runs: for each {"seconds", "cpu_seconds", "steps": {step: seconds}}.

    figures: {"peak_mb", "peak_mb_before" (the first run), "device_mb", "precision", "working", "warnings", "sha256"}.
    startup_seconds: wall seconds of the process outside the runs: starting, imports, files, weights.
    """

    transform: Transform
    warped: Image
    runs: list[dict]
    figures: dict
    startup_seconds: float


def in_fresh_process(
    fixed: Image,
    moving: Image,
    model: str,
    *,
    start: str = "moments",
    refine: int = 0,
    refine_by: str = "mind",
    device: str = "auto",
    seed: int = 0,
    threads: int = 1,
    repeats: int = 1,
) -> Fresh:
    """`engine.register` with these settings, `repeats` times, in a child process of `threads` threads.

    Raises what the child raised: InputError, MemoryShortage, or RegistrationError with its last word.
    """
    settings = {"model": model, "start": start, "refine": refine, "refine_by": refine_by}
    settings |= {"device": device, "seed": seed, "repeats": repeats}
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        for side, image in (("fixed", fixed), ("moving", moving)):
            sitk.WriteImage(sitk_from(image.tensor.numpy(), image.grid), str(Path(folder) / f"{side}.mha"), False)
        task = Path(folder) / "task.json"
        task.write_text(json.dumps(settings))
        began = time.perf_counter()
        _work(task, threads)
        whole = time.perf_counter() - began
        figures = json.loads(Path(f"{task}.out").read_text())
        transform, warped = pickle.loads(Path(f"{task}.found").read_bytes())  # our own child's, in our own folder
    runs = figures.pop("runs")
    return Fresh(transform, warped, runs, figures, whole - sum(run["seconds"] for run in runs))


def _work(task: Path, threads: int) -> None:
    library = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, **PATIENT, "OMP_NUM_THREADS": str(threads)}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in (library, os.environ.get("PYTHONPATH")) if p)
    command = [sys.executable, "-m", "DeepMultiModalRegLib.evaluation.model_worker", str(task)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        sentence = last[0] if last else f"The process ended with exit code {done.returncode}."
        raise ERRORS.get(done.returncode, RegistrationError)(sentence)
