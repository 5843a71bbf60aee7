"""A run that is ended by a signal, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fakes import phantom

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.evaluation.command import main
from DeepMultiModalRegLib.evaluation.journal import Journal
from DeepMultiModalRegLib.io import write_image

GRID = Grid.regular((24, 22, 20), 3.0)
LIBRARY = Path(__file__).resolve().parents[2] / "DeepMultiModalReg"
SLEEPING = """#!/bin/sh
echo $$ > "{folder}/pid"
exec sleep 100
"""
WORKING = """#!{python}
import json, os, sys
task = json.load(open(sys.argv[2]))
for job in task["jobs"]:
    os.makedirs(job["out"])
    json.dump([[1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], open(job["out"] + "/affine.json", "w"))
answer = {{"seconds": [1.5], "cpu_seconds": [2.5], "peak_mb": 12.0, "version": "fake 1"}}
json.dump(answer, open(sys.argv[2] + ".out", "w"))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    write_image(phantom(GRID), tmp_path / "fixed.nrrd")
    write_image(phantom(GRID, (9.0, 0.0, 0.0)), tmp_path / "moving.nrrd")
    case = {"name": "shifted", "fixed": "fixed.nrrd", "moving": "moving.nrrd"}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({"cases": [case]}))
    monkeypatch.setenv("DEEPMULTIMODALREG_PEERS_PYTHON", str(tmp_path / "python"))
    return tmp_path


def script(folder: Path, text: str) -> None:
    (folder / "python").write_text(text)
    (folder / "python").chmod(0o755)


def words(folder: Path) -> list[str]:
    given = {"cases": folder / "cases.yaml", "data": folder, "out": folder / "out", "threads": 1}
    given |= {"models": "none", "peers": "ants-syn"}
    return ["benchmark", *(str(word) for key, value in given.items() for word in (f"--{key}", value)), "--no-surfaces"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_with_exit_code_4_and_leaves_the_rows_so_far(folder, number):
    script(folder, SLEEPING.format(folder=folder))
    command = [sys.executable, "-m", "DeepMultiModalRegLib", *words(folder)]
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 90
        while not (folder / "pid").is_file() and time.monotonic() < until and started.poll() is None:
            time.sleep(0.05)
        peer = int((folder / "pid").read_text())
        asked = time.monotonic()
        started.send_signal(number)
        _, said = started.communicate(timeout=60)
        took = time.monotonic() - asked
    finally:
        started.kill()
    assert started.returncode == 4 and "Cancelled" in said, said
    assert took < 20, took  # the peer would have slept for 100 seconds
    with pytest.raises(ProcessLookupError):
        os.kill(peer, 0)
    rows = [json.loads(line)["row"] for line in (folder / "out" / "rows.jsonl").read_text().splitlines()]
    assert [row["method"] for row in rows] == ["identity", "moments"]
    assert "| moments |" in (folder / "out" / "results.md").read_text()


def test_a_resumed_run_keeps_the_rows_that_are_there_and_makes_the_others(folder):
    script(folder, "#!/bin/sh\necho it went wrong >&2; exit 1\n")
    assert main(words(folder)) == 5
    path = folder / "out" / "rows.jsonl"
    first = {entry["row"]["method"]: entry["row"] for entry in map(json.loads, path.read_text().splitlines())}
    assert "it went wrong" in first["ants-syn"]["error"]
    script(folder, WORKING.format(python=sys.executable))
    with open(path, "a") as file:
        file.write('{"row": {"case": "shif')  # as a killed process leaves it
    assert main([*words(folder), "--resume"]) == 0
    again = {row["method"]: row for row in json.loads((folder / "out" / "table.json").read_text())["rows"]}
    assert again["moments"]["seconds"] == first["moments"]["seconds"]  # to the last digit: not measured again
    assert again["ants-syn"]["seconds"] == 1.5 and again["ants-syn"]["cpu_seconds"] == 2.5
    assert main(words(folder)) == 0  # without --resume everything is made anew
    anew = {row["method"]: row for row in json.loads((folder / "out" / "table.json").read_text())["rows"]}
    assert anew["moments"]["seconds"] != first["moments"]["seconds"]


def test_rows_made_otherwise_or_failed_are_not_kept(tmp_path):
    journal = Journal(tmp_path / "rows.jsonl", resume=True)
    journal.add({"case": "a", "method": "m", "each": {1: 0.5}}, {"settings": {"refine": 20}})
    journal.add({"case": "a", "method": "n", "error": "It failed."}, {})
    journal = Journal(tmp_path / "rows.jsonl", resume=True)
    assert journal.kept("a", "m", {"settings": {"refine": 20}}) == {"case": "a", "method": "m", "each": {"1": 0.5}}
    assert journal.kept("a", "m", {"settings": {"refine": 10}}) is None
    assert journal.kept("b", "m", {"settings": {"refine": 20}}) is None and journal.kept("a", "n", {}) is None
