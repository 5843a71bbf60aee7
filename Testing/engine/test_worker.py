"""The worker's own duties: every failure is an event and an exit code; it does not outlive its parent."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from file_lists import LIBRARY

from DeepMultiModalRegLib.core import InputError, MemoryShortage
from DeepMultiModalRegLib.engine import worker

# loaded by its path: the package around it would import torch first
ALONE = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
worker._end_with_the_parent(sys.argv[2])
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "error, code, words",
    [
        (InputError("The image is constant; choose another."), 2, "constant"),
        (MemoryShortage("Too large; crop it."), 3, "crop it"),
        (MemoryError(), 3, "Memory does not suffice"),
        (ImportError("No module named 'torch'"), 2, "section Setup"),
        (ValueError("odd\n  thing"), 5, "Internal error (ValueError: odd thing)"),
    ],
)
def test_every_failure_is_one_event_with_a_sentence_and_its_exit_code(
    monkeypatch, capsys, tmp_path, error, code, words
) -> None:
    def fail(folder) -> None:
        raise error

    monkeypatch.setattr(worker, "register_job", fail)
    monkeypatch.setattr(worker, "_end_with_the_parent", lambda folder: None)
    assert worker.main(tmp_path) == code
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["started", "progress", "error"]
    assert events[-1]["code"] == code and words in events[-1]["message"] and "Traceback" in events[-1]["details"]


def test_a_worker_whose_parent_is_gone_ends_and_takes_its_files_away(tmp_path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "fixed.npy").write_bytes(b"x")
    command = [sys.executable, "-S", "-c", ALONE, str(LIBRARY / "engine" / "worker.py"), str(folder)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    assert child.poll() is None and folder.exists()
    began = time.monotonic()
    child.stdin.close()
    assert child.wait(10) == 4 and time.monotonic() - began < 5
    assert not folder.exists()
    child.stdout.close()
