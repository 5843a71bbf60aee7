"""The start experiment: what it times, and the table it writes."""

from __future__ import annotations

import torch
from bundled import SAMPLE

from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.foreground import background
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.evaluation import start_timing
from DeepMultiModalRegLib.io import read_image


def test_the_first_run_does_not_count_and_the_median_of_the_others_does(monkeypatch):
    clock = iter([0.0, 90.0, 0.0, 5.0, 0.0, 1.0, 0.0, 2.0, 0.0, 9.0, 0.0, 3.0])
    monkeypatch.setattr(start_timing.time, "perf_counter", lambda: next(clock))
    calls = []
    found, wall, cpu = start_timing._median(lambda: calls.append(1) or len(calls))
    assert found == 6 and wall == 3.0 and cpu >= 0


def test_a_row_says_what_was_measured():
    row = {"pair": "a", "voxels": [2_000_000, 500_000], "seconds": 0.3, "cpu_seconds": 0.4, "whole": 1.25}
    text = start_timing.table([row | {"whole_cpu": 1.5, "scans": [1, 2], "doubt_mm": [6.04, 11.0]}])
    assert text.splitlines()[-1] == "| a | 2.0, 0.5 | 0.30 | 0.40 | 1.25 | 1.50 | 1, 2 | 6.0, 11.0 |"


def test_the_looks_cost_less_than_an_affine_registration(monkeypatch):
    """By processor time, on the bundled pair, one thread."""
    monkeypatch.setattr(start_timing, "REPEATS", 1)
    fixed, moving = (read_image(SAMPLE / name)[0] for name in ("fixed_t1.nii.gz", "moving_t2.nii.gz"))
    pair = Pair(fixed, moving, None, None, background(fixed), background(moving))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = start_timing.timed(pair, "cpu")
        affine = start_timing._median(lambda: register(fixed, moving, "affine"))[2]
    finally:
        torch.set_num_threads(threads)
    assert spent["cpu_seconds"] < affine
