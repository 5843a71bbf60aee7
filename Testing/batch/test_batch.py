"""The batch as a whole, with worker processes: every case on its own, nothing lost, the same bytes however it ran."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from batch_pairs import MODEL, Here, results, write_list, write_models, write_pairs

from DeepMultiModalRegLib.cli import main
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.io import read_image, read_transform

REPOSITORY = Path(__file__).resolve().parents[2]
BROKEN = {"fixed": "images/nowhere.nrrd", "moving": "images/m0.nii.gz", "id": "../broken"}
FILES = {"transform.h5", "inverse.h5", "warped.nii.gz", "translated.nii.gz", "before.jpg", "after.jpg", "report.json"}
OPTIONS = ("--model", MODEL, "--inverse", "--translated", "--format", "nii.gz")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """images/ and models/ for all tests of this file, and the list cases.csv of four pairs and a broken one."""
    folder = tmp_path_factory.mktemp("batch")
    rows = write_pairs(folder, 4)
    write_list(folder / "cases.csv", [*rows[:2], BROKEN, *rows[2:]])
    write_models(folder / "models")
    return folder


@pytest.fixture(autouse=True)
def models(place, monkeypatch) -> None:
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(place / "models"))


def batch(place: Path, out: Path, *more: str, listed: str = "cases.csv") -> int:
    return main([str(word) for word in ("batch", place / listed, "--out", out, *OPTIONS, *more)])


def quietly(*arguments, **named) -> tuple[int, list[dict], str]:
    """(exit code, events, what was said on stderr) of a batch with --json."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = batch(*arguments, "--json", **named)
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


@pytest.fixture
def here(monkeypatch) -> None:
    monkeypatch.setattr("DeepMultiModalRegLib.batch.runner.Worker", Here)


@pytest.fixture(scope="module")
def straight(place, tmp_path_factory) -> tuple[Path, int, list[dict]]:
    """One run straight through with one worker: its folder, exit code and events."""
    out = tmp_path_factory.mktemp("straight") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPMULTIMODALREG_MODELS", str(place / "models"))
        code, events, _ = quietly(place, out, "--jobs", "1")
    return out, code, events


def copied(straight, tmp_path: Path) -> Path:
    return Path(shutil.copytree(straight[0], tmp_path / "out"))


def computed(events: list[dict]) -> set[str]:
    return {event["id"] for event in events if event["event"] == "case"}


def test_every_case_is_computed_and_the_failing_one_is_recorded(straight):
    out, code, events = straight
    assert code == 2  # the failing case's
    folders = sorted(p.name for p in out.iterdir() if p.is_dir() and p.name != "log")
    assert len(folders) == 5 and folders[1:] == ["p0", "p1", "p2", "p3"] and folders[0].startswith("broken-")
    for name in folders[1:]:
        assert {p.name for p in (out / name).iterdir()} == FILES
    assert [p.name for p in (out / folders[0]).iterdir()] == ["report.json"]
    report = json.loads((out / folders[0] / "report.json").read_text())
    assert report["state"] == "failed" and report["code"] == 2 and "does not exist" in report["sentence"]
    assert sorted(p.name for p in out.iterdir() if p.is_file()) == ["batch.json", "index.html", "summary.csv"]
    assert events[0] == {"event": "started", "cases": 5, "finished": 0, "jobs": 1}
    assert events[-1] == {"event": "finished", "code": 2, "failed": 1, "cases": 5, "doubtful": 0}
    assert [e["done"] for e in events if e["event"] == "case"] == [1, 2, 3, 4, 5]


def test_reports_hold_nothing_that_differs_from_run_to_run(straight):
    text = (straight[0] / "p0" / "report.json").read_text()
    assert "seconds" not in text and "peak_memory" not in text and str(straight[0]) not in text
    logged = [json.loads(line) for line in (straight[0] / "log" / "cases.jsonl").read_text().splitlines()]
    times = {entry["id"]: entry for entry in logged}
    assert times["p0"]["seconds"]["total"] > 0 and times["p0"]["peak_memory_mb"]["process"] > 50
    assert '"p0": ' in (straight[0] / "log" / "times.js").read_text()


def test_a_case_of_a_batch_is_what_register_finds(straight, place):
    fixed, _ = read_image(place / "images" / "f1.nrrd")
    moving, pixel = read_image(place / "images" / "m1.nii.gz")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = register(fixed, moving, MODEL, inverse=True, translated=True)
    finally:
        torch.set_num_threads(before)
    points = fixed.grid.points(torch.float64).reshape(-1, 3)[::97]
    read = read_transform(straight[0] / "p1" / "transform.h5")
    # a file's field is rounded to 1/1024 mm
    np.testing.assert_allclose(read.points(points).numpy(), result.transform.points(points).numpy(), atol=1e-3)
    warped = sitk.GetArrayFromImage(sitk.ReadImage(str(straight[0] / "p1" / "warped.nii.gz")))
    assert warped.dtype == np.uint16 and np.array_equal(warped, pixel.convert(result.warped.tensor[0].numpy()))


def test_two_workers_and_another_order_give_the_same_bytes(straight, place, tmp_path):
    rows = (place / "cases.csv").read_text().splitlines()
    (place / "shuffled.csv").write_text("\n".join([rows[0], rows[4], rows[2], rows[5], rows[1], rows[3]]) + "\n")
    code, events, _ = quietly(place, tmp_path / "out", "--jobs", "2", listed="shuffled.csv")
    assert code == 2 and events[0]["jobs"] == 2
    assert results(tmp_path / "out") == results(straight[0])


def test_resume_keeps_what_is_finished_and_tries_what_failed_again(straight, place, tmp_path, here):
    out = copied(straight, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in out.glob("p*/*")}
    code, events, _ = quietly(place, out, "--resume", "--jobs", "1")
    assert code == 2 and events[0]["finished"] == 4 and computed(events) == {"../broken"}
    assert {path: path.stat().st_mtime_ns for path in out.glob("p*/*")} == before
    assert results(out) == results(straight[0])


def test_resume_redoes_what_changed_was_damaged_or_is_half_done(straight, place, tmp_path, here):
    out = copied(straight, tmp_path)
    (out / "p0" / "warped.nii.gz").unlink()
    (out / "p1" / "report.json").write_text('{"id": "p1", "sta')
    (out / "p2" / "transform.h5").write_bytes(b"cut off")
    report = json.loads((out / "p3" / "report.json").read_text())
    report["asked"]["inputs"]["moving"]["sha256"] = "0" * 64  # as if the image had been another one
    (out / "p3" / "report.json").write_text(json.dumps(report))
    for name in (".part-p0", ".old-p3", ".summary.csv-x1"):
        (out / name).mkdir()
        (out / name / "warped.nii.gz").write_bytes(b"half")
    code, events, _ = quietly(place, out, "--resume", "--jobs", "2")
    assert code == 2 and computed(events) == {"p0", "p1", "p2", "p3", "../broken"}
    assert results(out) == results(straight[0])


def test_another_parameter_makes_every_case_anew(straight, place, tmp_path, here):
    out = copied(straight, tmp_path)
    write_list(place / "one.csv", [{"fixed": "images/f0.nrrd", "moving": "images/m0.nii.gz", "id": "p0"}])
    code, events, said = quietly(place, out, "--resume", "--fill", "5", listed="one.csv")
    assert code == 0 and computed(events) == {"p0"}
    assert json.loads((out / "p0" / "report.json").read_text())["parameters"]["fill"] == 5
    assert "Not in this list, and left as they are: broken-" in said and (out / "p3" / "report.json").is_file()


def command(place: Path, out: Path, *more: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "DeepMultiModalRegLib", "batch", place / "cases.csv", "--out", out, *OPTIONS, *more]
    return subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "DeepMultiModalReg")},
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_at_three_moments_and_resumed_it_ends_with_the_same_bytes(straight, place, tmp_path, here):
    out = tmp_path / "out"
    for number, moment in enumerate((0.0, 0.2, 0.6)):  # seconds after the first case is under way
        process = command(place, out, "--resume", "--jobs", "1")
        _wait_for_a_case(process, out)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
        done = [p.parent for p in out.glob("p*/report.json")]
        assert len(done) < 4, "the kills come too late to prove anything"
        assert all({p.name for p in folder.iterdir()} == FILES for folder in done), f"half-done after kill {number}"
    code, events, _ = quietly(place, out, "--resume", "--jobs", "1")
    assert code == 2 and not list(out.glob(".*"))
    assert results(out) == results(straight[0])


def _wait_for_a_case(process: subprocess.Popen, out: Path) -> None:
    """Until a case's files are being made, or the batch has come to its end."""
    end = time.monotonic() + 300
    while process.poll() is None and not list(out.glob(".part-*/*")):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupted_batch_keeps_what_is_finished_and_leaves_nothing_half_done(straight, place, tmp_path):
    out = tmp_path / "out"
    process = command(place, out, "--jobs", "1")
    while not process.stderr.readline().startswith("[1/5]"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(timeout=60) == 4, said
    assert "--resume" in said and "Traceback" not in said
    assert not list(out.glob(".*")) and (out / "index.html").is_file()
    expected = results(straight[0])
    kept = {name: digest for name, digest in results(out).items() if name.startswith("p")}
    assert kept and kept.items() <= expected.items()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the worker by /proc")
def test_a_worker_that_is_killed_costs_its_case_only_and_alone_it_is_tried_again(straight, place, tmp_path):
    """SIGKILL is what the system sends when memory runs out: beside other workers the case gets a second try, alone."""
    out = tmp_path / "out"
    process = command(place, out, "--jobs", "2", "--json")
    _wait_for_a_case(process, out)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    events = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert process.wait(timeout=60) == 2, process.stderr.read()
    assert computed(events) == {"p0", "p1", "p2", "p3", "../broken"} and events[-1]["failed"] == 1
    assert results(out) == results(straight[0])


def test_a_second_batch_in_the_same_folder_is_refused(straight, place, tmp_path, monkeypatch):
    from DeepMultiModalRegLib.batch import lock

    monkeypatch.setattr(lock.Lock.__init__, "__defaults__", (0.0,))
    out = copied(straight, tmp_path)
    held = lock.Lock(out)
    code, events, said = quietly(place, out, "--resume")
    held.release()
    assert code == 2 and events == [] and f"process {os.getpid()}" in said and "works in" in said


def test_a_worker_s_memory_does_not_grow_with_the_cases(place, tmp_path):
    rows = [{"fixed": f"images/f{n % 4}.nrrd", "moving": f"images/m{n % 4}.nii.gz", "id": f"c{n}"} for n in range(12)]
    write_list(place / "many.csv", rows)
    assert quietly(place, tmp_path / "out", "--jobs", "1", listed="many.csv")[0] == 0
    logged = [json.loads(line) for line in (tmp_path / "out" / "log" / "cases.jsonl").read_text().splitlines()]
    peaks = [entry["peak_memory_mb"]["process"] for entry in logged]
    assert peaks[-1] - peaks[3] < 12, peaks  # the first four are all different images
