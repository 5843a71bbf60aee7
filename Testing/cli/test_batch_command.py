"""The command `batch`: what is refused is refused before anything is computed; its exit code tells; Slicer's door."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from batch_pairs import MODEL, Here, results, write_list, write_models, write_pairs

from DeepMultiModalRegLib.batch import work
from DeepMultiModalRegLib.cli import main
from DeepMultiModalRegLib.core import InputError, MemoryShortage

LIBRARY = Path(__file__).resolve().parents[2] / "DeepMultiModalReg" / "DeepMultiModalRegLib"


@pytest.fixture(autouse=True)
def models(tmp_path_factory, monkeypatch) -> Path:
    folder = write_models(tmp_path_factory.mktemp("models"))
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(folder))
    monkeypatch.setattr("DeepMultiModalRegLib.batch.runner.Worker", Here)
    return folder


@pytest.fixture
def pairs(tmp_path) -> list[dict[str, str]]:
    rows = write_pairs(tmp_path, 2)
    write_list(tmp_path / "cases.csv", rows)
    return rows


def batch(tmp_path: Path, *more: str, out: str = "out", model: str = MODEL) -> int:
    words = ["batch", tmp_path / "cases.csv", "--out", tmp_path / out, "--model", model, "--jobs", "1", *more]
    return main([str(word) for word in words])


def test_a_batch_in_words(pairs, tmp_path, capsys):
    assert batch(tmp_path) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert lines[0] == "2 cases; 1 worker."
    assert re.fullmatch(r"\[1/2\] p0: NMI \d\.\d+ -> \d\.\d+, 0\.000 % folds, \d+\.\d s.*", lines[1]), lines
    assert said.out.startswith("2 of 2 cases done, 0 failed; ") and "index.html" in said.out
    assert {p.name for p in (tmp_path / "out" / "p0").iterdir()} == {
        "transform.h5", "warped.nrrd", "before.jpg", "after.jpg", "report.json",
    }  # fmt: skip


REFUSED = {
    "no_list": (["--seed", "1"], lambda t: (t / "cases.csv").unlink(), "cannot be read"),
    "model": (["--model", "no-such"], None, "There is no model 'no-such'"),
    "model_is_a_path": (["--model", "../x"], None, "There is no model"),
    "device": (["--device", "toaster"], None, "device 'toaster' is not known"),
    "measure": (["--refine-by", "luck"], None, "luck"),
    "start": (["--start", "nowhere.h5"], None, "neither a known start"),
    "jobs": (["--jobs", "0"], None, "--jobs"),
    "refine": (["--refine", "-1"], None, "--refine"),
    "format": (["--format", "docx"], None, "--format"),
    "out_is_a_file": ([], lambda t: (t / "out").write_text("x"), "cannot be made"),
    "out_below_a_file": (["--out", "cases.csv/out"], None, "cannot be made"),
    "foreign_files": (["--resume"], lambda t: other_files(t / "out"), "no batch's results"),
    "used_before": ([], lambda t: used_before(t / "out"), "go on with it by --resume"),
    "input_in_out": (["--resume"], lambda t: input_in_out(t), "must not depend on"),
}


def other_files(out: Path) -> None:
    out.mkdir()
    (out / "thesis.docx").write_text("x")


def used_before(out: Path) -> None:
    out.mkdir()
    (out / "batch.json").write_text("{}")


def input_in_out(folder: Path) -> None:
    row = {"fixed": "out/a/warped.nii.gz", "moving": "images/m0.nii.gz", "id": "x"}
    write_list(folder / "cases.csv", [row])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_as_a_whole_is_one_sentence_before_anything_is_computed(
    pairs, tmp_path, capsys, name, monkeypatch
):
    monkeypatch.setattr(work, "compute", lambda *a: pytest.fail("it computed"))
    options, prepare, pattern = REFUSED[name]
    if prepare is not None:
        prepare(tmp_path)
    options = [str(tmp_path / word) if word == "cases.csv/out" else word for word in options]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert batch(tmp_path, *options) == 2
    said = capsys.readouterr().err.strip()
    assert re.search(pattern, said) and "\n" not in said and "Traceback" not in said and said.endswith("."), said
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_model_of_the_list_that_is_not_installed_is_named_with_its_line(pairs, tmp_path, capsys):
    write_list(tmp_path / "cases.csv", [pairs[0], {**pairs[1], "model": "nope"}])
    assert batch(tmp_path) == 2
    assert "Line 3 of the list: There is no model 'nope'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("order, code", [((0, 1, 2), 3), ((2, 1, 0), 5), ((1, 0, 2), 2)])
def test_the_exit_code_is_the_first_failed_case_s_of_the_list(pairs, tmp_path, monkeypatch, order, code):
    errors = {"e0": MemoryShortage("Memory does not suffice."), "e1": InputError("It is bad."), "e2": KeyError("oops")}
    rows = [pairs[0], *({**pairs[1], "id": f"e{n}"} for n in order)]
    write_list(tmp_path / "cases.csv", rows)
    compute = work.compute

    def failing(job, progress):
        if job["id"] in errors:
            (Path(job["staging"]) / "transform.h5").write_bytes(b"half")
            raise errors[job["id"]]
        return compute(job, progress)

    monkeypatch.setattr(work, "compute", failing)
    assert batch(tmp_path) == code
    for n, expected in ((0, 3), (1, 2), (2, 5)):
        assert [p.name for p in (tmp_path / "out" / f"e{n}").iterdir()] == ["report.json"]
        report = json.loads((tmp_path / "out" / f"e{n}" / "report.json").read_text())
        assert report["code"] == expected and report["sentence"].endswith(".")
    assert (tmp_path / "out" / "p0" / "transform.h5").is_file()
    assert "KeyError" in (tmp_path / "out" / "log" / "cases.jsonl").read_text()  # the traceback, for a report


def test_a_folder_that_can_be_written_no_more_ends_the_batch_with_a_sentence(pairs, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("DeepMultiModalRegLib.batch.folder.os.rename", full)
    assert batch(tmp_path) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "No space left on device" in said and "--resume" in said
    monkeypatch.undo()


HOSTILE_PATHS = {
    "missing": ("nowhere.nii", "does not exist"),
    "long": ("x" * 4000, "cannot be opened|does not exist"),
    "zero": ("/dev/zero", "neither a file nor a folder"),
    "pipe": ("pipe", "neither a file nor a folder"),
    "folder": (".", "DICOM"),
    "text": ("cases.csv", "cannot be read"),
    "url": ("http://example.org/a.nii", "does not exist"),
    "unicode": ("患者/\u202e.nii", "does not exist"),
}


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of POSIX")
def test_hostile_paths_and_ids_are_failures_of_their_cases_and_nothing_is_written_elsewhere(pairs, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    ids = ["../../escape", "/tmp/absolute", "con", "a\nb", "<script>", "=1+1", "x" * 300, "患者"]
    rows = [
        {"fixed": path, "moving": "images/m0.nii.gz", "id": one}
        for (path, _), one in zip(HOSTILE_PATHS.values(), ids, strict=True)
    ]
    write_list(tmp_path / "cases.csv", [*rows, pairs[0]])
    outside = {p for p in tmp_path.rglob("*") if "out" not in p.relative_to(tmp_path).parts}
    assert batch(tmp_path) == 2
    assert {p for p in tmp_path.rglob("*") if "out" not in p.relative_to(tmp_path).parts} == outside
    found = {}
    for path in (tmp_path / "out").glob("*/report.json"):
        report = json.loads(path.read_text())
        found[report["id"]] = report
    for one, (_, pattern) in zip(ids, HOSTILE_PATHS.values(), strict=True):
        assert found[one]["code"] == 2 and re.search(pattern, found[one]["sentence"]), found[one]["sentence"]
    assert found["p0"]["state"] == "done" and len(found) == 9
    said = capsys.readouterr().err
    assert "Traceback" not in said and len(said.splitlines()) == 10


def test_a_format_that_cannot_hold_the_result_is_said_without_hidden_places(pairs, tmp_path):
    write_list(tmp_path / "cases.csv", pairs[:1])
    assert batch(tmp_path, "--format", "png") == 2  # a volume
    sentence = json.loads((tmp_path / "out" / "p0" / "report.json").read_text())["sentence"]
    assert sentence.startswith("The output warped.png cannot hold") and str(tmp_path) not in sentence


def test_the_list_s_own_columns_are_used(pairs, tmp_path):
    mask = sitk.ReadImage(str(tmp_path / "images" / "f0.nrrd")) > 300
    sitk.WriteImage(sitk.Cast(mask, sitk.sitkUInt8), str(tmp_path / "mask.nrrd"))
    sitk.WriteTransform(sitk.TranslationTransform(3, (7.0, 8.0, 9.0)), str(tmp_path / "s.tfm"))
    rows = [
        {**pairs[0], "fixed_mask": "mask.nrrd", "model": "affine"},
        {**pairs[1], "start": "s.tfm", "refine": "1"},
    ]
    write_list(tmp_path / "cases.csv", rows)
    batch(tmp_path, "--format", "mha")
    first, second = (json.loads((tmp_path / "out" / f"p{n}" / "report.json").read_text()) for n in (0, 1))
    assert first["model"]["name"] == "affine" and first["parameters"]["fixed_mask"] is True
    assert (tmp_path / "out" / "p0" / "warped.mha").is_file()
    assert second["asked"]["inputs"]["start"]["path"] == "s.tfm" and second["asked"]["refine"] == 1
    if second["state"] == "done":
        np.testing.assert_allclose(np.array(second["parameters"]["start"]["matrix"])[:3, 3], (7, 8, 9))


def test_the_script_for_slicer_works_in_plain_python_without_a_path(pairs, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    write_list(tmp_path / "cases.csv", pairs[:1])
    words = [LIBRARY / "cli" / "in_slicer.py", "batch", tmp_path / "cases.csv", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "--model", MODEL, "--json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "finished"
    assert batch(tmp_path, out="again") == 0
    assert results(tmp_path / "out") == results(tmp_path / "again")


def test_inside_slicer_the_application_ends_with_the_command_s_code(pairs, tmp_path, monkeypatch, capsys):
    ended = []
    slicer = types.SimpleNamespace(app=object(), util=types.SimpleNamespace(exit=ended.append))
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    words = ["Slicer", "--no-main-window", "batch", str(tmp_path / "nowhere.csv"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(LIBRARY / "cli" / "in_slicer.py"), run_name="__main__")
    assert ended == [2] and "nowhere.csv cannot be read" in capsys.readouterr().err


def test_inside_slicer_the_workers_run_in_its_own_python(monkeypatch, tmp_path):
    from DeepMultiModalRegLib.batch.pool import python_executable

    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="PythonSlicer"):
        python_executable()
    (tmp_path / "PythonSlicer").write_text("#!/bin/sh\n")
    (tmp_path / "PythonSlicer").chmod(0o755)
    assert python_executable() == str(tmp_path / "PythonSlicer")
