"""A run's folder: its checkpoint, its log, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


def write_checkpoint(state: dict, folder: Path) -> None:
    """Replaces the folder's checkpoint as a whole: a run that is killed here leaves the one before."""
    temporary = folder / f"{CHECKPOINT}.part"
    torch.save(state, temporary)
    os.replace(temporary, folder / CHECKPOINT)


def append_log(row: dict, folder: Path) -> None:
    """One line of JSON in the folder's log, and on stdout."""
    line = json.dumps(row)
    print(line, flush=True)
    with open(folder / LOG, "a") as log:
        log.write(line + "\n")


def finished(trainer, resume: bool, seconds: float | None, exported: Callable[[], Path]) -> int:
    """Runs a trainer (resume(), run(seconds), .seconds) and says what came of it; `exported` writes the model of one
    that is through and names its folder. Returns an exit code."""
    if resume:
        trainer.resume()
    if trainer.run(seconds):
        print(f"The model is in {exported()}.")
    else:
        print(f"Stopped after {trainer.seconds:.0f} s of training; go on with --resume.")
    return 0
