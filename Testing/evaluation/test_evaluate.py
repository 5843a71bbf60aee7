"""The command evaluate from end to end on phantoms: rows, files, exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
import yaml
from fakes import phantom, write_tiny_model

from DeepMultiModalRegLib.core import Grid, Image
from DeepMultiModalRegLib.evaluation.command import chosen_models, main
from DeepMultiModalRegLib.evaluation.runners import Settings, runners
from DeepMultiModalRegLib.io import write_image

GRID = Grid.regular((40, 36, 32), (2.0, 2.0, 2.5))
SHIFT = (8.0, -5.0, 4.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    for name, shift in (("fixed", None), ("moving", SHIFT)):
        image = phantom(GRID, shift)
        write_image(image, tmp_path / f"{name}.nrrd")
        write_image(Image((image.tensor / 300).round().to(torch.int16), GRID), tmp_path / f"{name}_labels.nrrd")
    case = {
        "name": "shifted",
        "group": "phantoms",
        "fixed": "fixed.nrrd",
        "moving": "moving.nrrd",
        "labels": {"lumps": {"fixed": "fixed_labels.nrrd", "moving": "moving_labels.nrrd"}},
    }
    other = {"name": "warped", "fixed": "fixed.nrrd", "moving": "fixed.nrrd", "mask": {"head": "fixed.nrrd"}}
    other["warp"] = {"of": "moving", "seed": 2, "shift_mm": 6.0}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({"cases": [case, other]}))
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path / "models"))
    write_tiny_model(tmp_path / "models", "tiny-t1t2-3d")
    return tmp_path


def evaluate(folder: Path, *more: str) -> tuple[int, dict]:
    out = folder / "out"
    arguments = ["evaluate", "--cases", str(folder / "cases.yaml"), "--data", str(folder), "--out", str(out), *more]
    code = main(arguments)
    return code, json.loads((out / "table.json").read_text())


def test_every_case_gets_a_row_for_each_method_and_the_figures_are_right(folder):
    code, content = evaluate(folder, "--models", "none", "--threads", "1")
    rows = {(row["case"], row["method"]): row for row in content["rows"]}
    assert code == 0
    assert list(rows) == [(case, method) for case in ("shifted", "warped") for method in ("identity", "moments")]
    assert rows["shifted", "moments"]["dice_lumps"] > 0.7 > rows["shifted", "identity"]["dice_lumps"] + 0.2
    assert rows["shifted", "moments"]["hd95_lumps_mm"] < rows["shifted", "identity"]["hd95_lumps_mm"]
    assert rows["warped", "moments"]["error_mean_mm"] < 0.5 < 2.0 < rows["warped", "identity"]["error_mean_mm"]
    assert rows["shifted", "moments"]["nmi_after"] > rows["shifted", "moments"]["nmi_before"]
    with open(folder / "out" / "labels.csv") as file:
        lines = [line for line in csv.DictReader(file) if line["method"] == "identity"]
    assert [line["label"] for line in lines] == ["1", "2", "3"] and lines[0]["set"] == "lumps"
    each = rows["shifted", "identity"]["dice_lumps_each"]
    assert [float(line["dice"]) for line in lines] == [pytest.approx(each[str(k)]) for k in (1, 2, 3)]
    assert all(float(line["hd95_mm"]) > 1 for line in lines)


def test_a_model_without_and_with_refinement_stands_side_by_side_each_in_a_process_of_its_own(folder):
    more = {"--models": "tiny-t1t2-3d", "--refine": "2", "--only": "phantoms", "--threads": "1"}
    code, content = evaluate(folder, *(word for pair in more.items() for word in pair))
    rows = {row["method"]: row for row in content["rows"]}
    assert code == 0 and list(rows) == ["identity", "moments", "tiny-t1t2-3d", "tiny-t1t2-3d, refined"]
    for row in (rows["tiny-t1t2-3d"], rows["tiny-t1t2-3d, refined"]):
        assert row["folds"] == 0.0 and row["warped_disagreement"] < 1e-4 and row["round_trip_mean_mm"] < 0.05
        assert row["startup_seconds"] > 0.3 and row["cpu_seconds"] > 0 and 100 < row["peak_mb"] < 2000
        assert 0 < row["step_network"] < row["seconds"] and row["version"].startswith("sha256 ")
    assert "step_refine" not in rows["tiny-t1t2-3d"] and rows["tiny-t1t2-3d, refined"]["step_refine"] > 0
    text = (folder / "out" / "results.md").read_text()
    assert "| phantoms | tiny-t1t2-3d | lumps: " in text and "peak MB" in text and "refine s" in text


def test_all_means_the_affine_and_every_model_of_the_catalogue_both_ways(folder, monkeypatch):
    monkeypatch.setattr("DeepMultiModalRegLib.engine.catalogue.SHIPPED", ())
    rows = runners(chosen_models("all"), ["ants-syn"], Settings(refine=20))
    both = ["affine", "affine, refined", "tiny-t1t2-3d", "tiny-t1t2-3d, refined"]
    assert list(rows) == ["identity", "moments", "ants-syn", *both]
    assert [rows[name].settings["refine"] for name in both] == [0, 20, 0, 20]
    assert list(runners(["affine"], [], Settings())) == ["identity", "moments", "affine"]


def test_tables_and_pictures_are_written_and_say_what_made_them(folder):
    _, content = evaluate(folder, "--models", "none", "--only", "phantoms", "--no-surfaces")
    out = folder / "out"
    assert "deepmultimodalreg evaluate" in content["about"]["command"] and content["about"]["versions"]["torch"]
    text = (out / "results.md").read_text()
    assert "### phantoms (1 case)" in text and "HD95 mm (" not in text
    picture = sitk.ReadImage(str(out / "shifted_moments.png"))
    assert picture.GetNumberOfComponentsPerPixel() == 3 and picture.GetSize()[0] > 4 * picture.GetSize()[1]
    assert "shifted_moments.png" in (out / "index.html").read_text()


def test_a_missing_peer_is_a_row_that_says_so_and_no_failure(folder, monkeypatch):
    script = folder / "python"
    script.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'ants'\" >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("DEEPMULTIMODALREG_PEERS_PYTHON", str(script))
    code, content = evaluate(folder, "--models", "none", "--peers", "ants-syn", "--only", "phantoms", "--no-surfaces")
    assert code == 0
    assert (
        "is not installed" in content["rows"][-1]["error"]
        and "is not installed" in (folder / "out/results.md").read_text()
    )


def test_a_row_that_fails_says_why_and_the_exit_code_tells(folder):
    code, content = evaluate(
        folder,
        "--models",
        "tiny-t1t2-3d",
        "--refine",
        "2",
        "--refine-by",
        "magic",
        "--only",
        "phantoms",
        "--no-surfaces",
    )
    assert code == 2
    assert content["rows"][-1]["method"] == "tiny-t1t2-3d, refined" and content["rows"][-1]["error"]
    assert "error" not in content["rows"][-2]


@pytest.mark.parametrize(
    "more",
    [
        ["--models", "no-such-model"],
        ["--models", "none", "--peers", "ants-magic"],
        ["--only", "zzz"],
        ["--cases", "zzz"],
    ],
)
def test_wrong_options_are_a_sentence_with_exit_code_2(folder, more, capsys):
    arguments = ["evaluate", "--cases", str(folder / "cases.yaml"), "--data", str(folder), "--out", str(folder / "out")]
    assert main([*arguments, *more]) == 2
    assert capsys.readouterr().err.strip().endswith(".")
