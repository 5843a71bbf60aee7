"""The command `register`: what it writes agrees with the engine and with SimpleITK; what it refuses leaves nothing
behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fakes import phantom, write_tiny_model
from lattices import make_grid, rotation, sitk_image

from DeepMultiModalRegLib.cli import main
from DeepMultiModalRegLib.cli.outputs import Outputs
from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.io import read_image

REPOSITORY = Path(__file__).resolve().parents[2]
GRID = make_grid((30, 28, 26), (2, 2.1, 1.9), (30, -60, 12), rotation(8, -5, 20))
OTHER = make_grid((32, 30, 28), (2, 2, 2), (10, -40, 0), np.eye(3))


@pytest.fixture(autouse=True)
def models(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder, "hierarchical-t1t2-2d", dimension=2)
    write_tiny_model(folder, "hierarchical-t1t2-3d")
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(folder))
    monkeypatch.setattr("DeepMultiModalRegLib.engine.catalogue.SHIPPED", ())
    return folder


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A good pair and what else a test may name; outputs go to tmp_path/out."""
    paths = {"fixed": tmp_path / "fixed.nrrd", "moving": tmp_path / "moving.nii.gz"}
    sitk.WriteImage(sitk.Cast(sitk_image(phantom(GRID)), sitk.sitkInt16), str(paths["fixed"]))
    sitk.WriteImage(sitk.Cast(sitk_image(phantom(OTHER)), sitk.sitkUInt16), str(paths["moving"]))
    (tmp_path / "out").mkdir()
    return {**paths, "out": tmp_path / "out"}


def run(files, *more: str, **replaced) -> int:
    names = {**files, **replaced}
    base = ["register", "--fixed", names["fixed"], "--moving", names["moving"]]
    return main([str(word) for word in (*base, "--output-transform", names["out"] / "t.h5", *more)])


def everything(files) -> list[str]:
    out = files["out"]
    return [
        "--output-inverse", str(out / "i.h5"), "--output-volume", str(out / "w.nrrd"),
        "--output-translated", str(out / "x.nii.gz"), "--report", str(out / "r.json"),
    ]  # fmt: skip


def test_all_outputs_are_written_and_agree_with_each_other(files, capsys):
    assert run(files, *everything(files), "--model", "hierarchical-t1t2-3d", "--fill", "12") == 0
    out = files["out"]
    assert sorted(p.name for p in out.iterdir()) == ["i.h5", "r.json", "t.h5", "w.nrrd", "x.nii.gz"]
    fixed, moving = sitk.ReadImage(str(files["fixed"])), sitk.ReadImage(str(files["moving"]))
    warped = sitk.ReadImage(str(out / "w.nrrd"))
    assert warped.GetPixelID() == sitk.sitkUInt16  # the moving image's type
    assert warped.GetSize() == fixed.GetSize()
    np.testing.assert_allclose(warped.GetDirection(), fixed.GetDirection(), atol=1e-6)
    read = sitk.ReadTransform(str(out / "t.h5"))
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, read, sitk.sitkLinear, 12.0, sitk.sitkFloat32))
    difference = np.abs(sitk.GetArrayFromImage(warped).astype(float) - expected)
    assert np.quantile(difference, 0.999) < 0.6 and expected.max() > 500  # rounding is half a grey level
    back = sitk.ReadTransform(str(out / "i.h5"))
    for point in ((45.0, -30.0, 30.0), (50.0, -40.0, 40.0)):
        np.testing.assert_allclose(back.TransformPoint(read.TransformPoint(point)), point, atol=0.02)
    assert sitk.ReadImage(str(out / "x.nii.gz")).GetSize() == fixed.GetSize()
    report = json.loads((out / "r.json").read_text())
    assert report["inputs"]["fixed"] == str(files["fixed"]) and report["outputs"]["volume"] == str(out / "w.nrrd")
    assert report["model"]["name"] == "hierarchical-t1t2-3d" and report["parameters"]["fill"] == 12
    said = capsys.readouterr()
    assert "hierarchical-t1t2-3d" in said.out and said.err == ""


def test_the_command_gives_the_same_field_as_the_engine(files):
    assert run(files, "--model", "hierarchical-t1t2-3d") == 0
    fixed, _ = read_image(files["fixed"])
    moving, _ = read_image(files["moving"])
    result = register(fixed, moving, "hierarchical-t1t2-3d")
    read = sitk.ReadTransform(str(files["out"] / "t.h5"))
    points = GRID.points(torch.float64).reshape(-1, 3)[::997]
    expected = result.transform.points(points).numpy()
    # files hold multiples of 1/1024 mm
    np.testing.assert_allclose([read.TransformPoint(p.tolist()) for p in points], expected, atol=1e-3)


def test_without_a_model_the_catalogue_chooses_and_says_which(files, capsys):
    assert run(files) == 0
    assert "Model hierarchical-t1t2-3d (chosen for MR and MR (guessed), 3D)" in capsys.readouterr().out


def test_a_start_from_a_file_is_used(files):
    shift = sitk.TranslationTransform(3, [float(v) for v in (OTHER.centre - GRID.centre)])
    sitk.WriteTransform(shift, str(files["out"].parent / "start.tfm"))
    assert run(files, "--start", files["out"].parent / "start.tfm", "--report", files["out"] / "r.json") == 0
    report = json.loads((files["out"] / "r.json").read_text())
    assert report["parameters"]["start"]["kind"] == "given" and report["inputs"]["start"].endswith("start.tfm")
    matrix = np.array(report["parameters"]["start"]["matrix"])
    np.testing.assert_allclose(matrix[:3, 3], (OTHER.centre - GRID.centre).numpy(), atol=1e-6)


def test_masks_are_read(files, capsys):
    mask = sitk.Cast(sitk.ReadImage(str(files["fixed"])) > 300, sitk.sitkUInt8)
    sitk.WriteImage(mask, str(files["out"].parent / "mask.nrrd"))
    assert run(files, "--fixed-mask", files["out"].parent / "mask.nrrd", "--report", files["out"] / "r.json") == 0
    assert json.loads((files["out"] / "r.json").read_text())["parameters"]["fixed_mask"] is True
    empty = mask * 0
    sitk.WriteImage(empty, str(files["out"].parent / "empty.nrrd"))
    assert run(files, "--moving-mask", files["out"].parent / "empty.nrrd") == 2
    assert "moving mask is empty" in capsys.readouterr().err


def test_2d_images_register_slice_by_slice_models(files, tmp_path):
    flat = make_grid((48, 44), (1.5, 1.5), (0, 0), np.eye(2))
    sitk.WriteImage(sitk.Cast(sitk_image(phantom(flat)) * 0.25, sitk.sitkUInt8), str(tmp_path / "a.png"))
    outputs = ("--output-volume", files["out"] / "w.png")
    assert run(files, *outputs, fixed=tmp_path / "a.png", moving=tmp_path / "a.png") == 0
    assert sitk.ReadImage(str(files["out"] / "w.png")).GetPixelID() == sitk.sitkUInt8


# ---- what is refused -------------------------------------------------------------------------------------------------


def save(tmp_path: Path, name: str, array: np.ndarray, vector: bool = False, spacing=None) -> Path:
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing or [2.0] * image.GetDimension())
    sitk.WriteImage(image, str(tmp_path / name))
    return tmp_path / name


def nrrd(tmp_path: Path, directions: str) -> Path:
    """A NRRD file written by hand, with axes that no library would write."""
    path = tmp_path / "bad.nrrd"
    header = "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 8 8\n"
    header += f"space directions: {directions}\nkinds: domain domain domain\nencoding: raw\nspace origin: (0,0,0)\n\n"
    path.write_bytes(header.encode() + bytes(range(256)) * 2)
    return path


def unreadable(tmp_path: Path) -> Path:
    (tmp_path / "x.nii.gz").write_bytes(b"this is no image at all")
    return tmp_path / "x.nii.gz"


def cut_off(tmp_path: Path) -> Path:
    whole = save(tmp_path, "whole.nii", np.random.default_rng(0).random((20, 20, 20)).astype(np.float32))
    (tmp_path / "cut.nii").write_bytes(whole.read_bytes()[:3000])
    return tmp_path / "cut.nii"


def nan_image(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    array[3, 4, 5] = np.nan
    return save(tmp_path, "nan.nrrd", array)


def five_d(tmp_path: Path) -> Path:
    path = save(tmp_path, "5d.nii", np.random.default_rng(0).random((6, 8, 8, 8)).astype(np.float32))
    raw = bytearray(path.read_bytes())
    raw[40:56] = np.array([5, 8, 8, 8, 2, 3, 1, 1], "<i2").tobytes()
    path.write_bytes(bytes(raw))
    return path


def nifti_without_spacing(tmp_path: Path) -> Path:
    path = save(tmp_path, "z.nii", np.random.default_rng(0).random((8, 8, 8)).astype(np.float32))
    raw = bytearray(path.read_bytes())
    raw[80:92] = bytes(12)  # pixdim[1..3]
    path.write_bytes(bytes(raw))
    return path


BAD = {
    "missing": (lambda t: t / "nowhere.nrrd", "does not exist"),
    "unreadable": (unreadable, "is no NIfTI file"),
    "cut_off": (cut_off, "is cut off|cannot be read"),
    "empty_file": (lambda t: (t / "e.nrrd").write_bytes(b"") and None or t / "e.nrrd", "cannot be read"),
    "constant": (lambda t: save(t, "c.nrrd", np.full((20, 20, 20), 9, np.int16)), "is constant"),
    "zeros": (lambda t: save(t, "c.nrrd", np.zeros((20, 20, 20), np.float32)), "is constant"),
    "nan": (nan_image, "not finite"),
    "2d": (lambda t: save(t, "2d.nrrd", np.random.default_rng(0).random((20, 20)).astype(np.float32)), "2D"),
    "5d": (five_d, "5 dimensions"),
    "zero_spacing": (nifti_without_spacing, "spacing"),
    "zero_spacing_nrrd": (lambda t: nrrd(t, "(0,0,0) (0,1,0) (0,0,1)"), "header|cannot be read|spacing"),
    "singular": (lambda t: nrrd(t, "(1,0,0) (1,0,0) (0,0,1)"), "singular|cannot be read"),
    "one_voxel": (lambda t: save(t, "v.nrrd", np.ones((1, 1, 1), np.float32)), "too small"),
}


def assert_refused(files, capsys, code: int, pattern: str, status: int) -> None:
    import re

    said = capsys.readouterr()
    assert status == code, said.err
    assert re.search(pattern, said.err), said.err
    sentence = said.err.strip()
    assert "\n" not in sentence and "Traceback" not in sentence and sentence.endswith("."), sentence
    assert list(files["out"].iterdir()) == []


@pytest.mark.parametrize("role", ["fixed", "moving"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_gets_one_sentence_and_leaves_nothing(files, tmp_path, capsys, name, role):
    make, pattern = BAD[name]
    status = run(files, *everything(files), **{role: make(tmp_path)})
    assert_refused(files, capsys, 2, pattern, status)


BAD_OPTIONS = {
    "unknown_model": (["--model", "no-such"], "There is no model 'no-such'; choose one of: hierarchical-t1t2-2d"),
    "model_is_a_path": (["--model", "../x"], "There is no model"),
    "start_is_no_file": (["--start", "nowhere.h5"], "does not exist"),
    "refine_by": (["--refine", "5", "--refine-by", "luck"], "luck"),
    "refine_negative": (["--refine", "-5"], "--refine"),
    "device": (["--device", "toaster"], "device 'toaster' is not known"),
    "fill_nan": (["--fill", "nan"], "not a finite number"),
    "seed": (["--seed", "x"], "--seed"),
    "no_overlap": (["--start", "none"], "do not overlap"),
    "unknown_option": (["--colour", "red"], "Unrecognized"),
    "mask_missing": (["--fixed-mask", "nowhere.nrrd"], "does not exist"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_a_bad_option_gets_one_sentence_and_leaves_nothing(files, capsys, name, tmp_path):
    options, pattern = BAD_OPTIONS[name]
    replaced = {}
    if name == "no_overlap":
        far = make_grid(GRID.size, GRID.spacing, (900, 900, 900), np.eye(3))
        sitk.WriteImage(sitk_image(phantom(far)), str(tmp_path / "far.nrrd"))
        replaced["moving"] = tmp_path / "far.nrrd"
    assert_refused(files, capsys, 2, pattern, run(files, *everything(files), *options, **replaced))


def test_tampered_weights_are_refused(files, models, capsys):
    weights = models / "hierarchical-t1t2-3d" / "weights.pt"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 255
    weights.write_bytes(bytes(raw))
    status = run(files, *everything(files), "--model", "hierarchical-t1t2-3d")
    assert_refused(files, capsys, 2, "altered or cut off", status)


UNWRITABLE = {
    "no_folder": lambda out: ["--output-volume", str(out / "none" / "w.nrrd")],
    "a_folder": lambda out: ["--output-volume", str(out.parent)],
    "below_a_file": lambda out: ["--report", str(out.parent / "fixed.nrrd" / "r.json")],
    "unknown_image_format": lambda out: ["--output-volume", str(out / "w.docx")],
    "unknown_transform_format": lambda out: ["--output-inverse", str(out / "i.zip")],
    "report_not_json": lambda out: ["--report", str(out / "r.txt")],
    "the_fixed_image": lambda out: ["--output-volume", str(out.parent / "fixed.nrrd")],
    "the_moving_image": lambda out: ["--output-volume", str(out.parent / "out" / ".." / "moving.nii.gz")],
    "twice": lambda out: ["--output-volume", str(out / "w.nrrd"), "--output-translated", str(out / "w.nrrd")],
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_an_output_that_cannot_be_written_is_refused_before_computing(files, capsys, name, monkeypatch):
    monkeypatch.setattr("DeepMultiModalRegLib.engine.register", lambda *a, **k: pytest.fail("it computed"))
    before = {p: p.read_bytes() for p in files["out"].parent.glob("*.n*")}
    status = run(files, *UNWRITABLE[name](files["out"]))
    assert_refused(files, capsys, 2, "output|outputs", status)
    assert {p: p.read_bytes() for p in files["out"].parent.glob("*.n*")} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(files, capsys):
    files["out"].chmod(0o500)
    try:
        status = run(files, *everything(files))
        assert_refused(files, capsys, 2, "permission|cannot be written", status)
    finally:
        files["out"].chmod(0o700)


def test_a_volume_cannot_go_to_png_and_nothing_is_left(files, capsys):
    status = run(files, "--output-volume", files["out"] / "w.png")
    assert_refused(files, capsys, 2, "PNG", status)


@pytest.mark.parametrize("failing", ["transform", "volume", "report"])
def test_when_one_output_fails_none_stays_and_old_ones_are_kept(files, capsys, monkeypatch, failing):
    (files["out"] / "w.nrrd").write_bytes(b"of an earlier run")
    writer = {"transform": "write_transform", "volume": "write_image", "report": "write_json"}[failing]

    def full_disk(*_args, **_kwargs):
        raise InputError("The disk is full; free some space.")

    monkeypatch.setattr(f"DeepMultiModalRegLib.io.{writer}", full_disk)
    assert run(files, *everything(files)) == 2
    assert "disk is full" in capsys.readouterr().err
    assert [p.name for p in files["out"].iterdir()] == ["w.nrrd"]
    assert (files["out"] / "w.nrrd").read_bytes() == b"of an earlier run"


def test_outputs_that_cannot_be_moved_into_place_are_taken_back(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")
    real, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if Path(target).name == "b.txt":
            raise OSError(28, "No space left on device")
        real(source, target)

    with Outputs({"a": tmp_path / "a.txt", "b": tmp_path / "b.txt"}, []) as outputs:
        outputs.stage("a").write_text("new")
        outputs.stage("b").write_text("new")
        monkeypatch.setattr("os.replace", failing)
        with pytest.raises(InputError, match="No space left"):
            outputs.commit()
        monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "old" and sorted(p.name for p in tmp_path.iterdir()) == ["a.txt"]


def test_memory_and_internal_errors_have_their_codes(files, capsys, monkeypatch):
    def too_big(*_args, **_kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr("DeepMultiModalRegLib.engine.registration.run_network", too_big)
    assert_refused(files, capsys, 3, "Memory does not suffice", run(files, *everything(files)))

    def broken(*_args, **_kwargs):
        raise ValueError("something\nunforeseen")

    monkeypatch.setattr("DeepMultiModalRegLib.engine.registration.run_network", broken)
    assert_refused(files, capsys, 5, r"Internal error \(ValueError: something unforeseen\)", run(files))
    assert run(files, "--debug") == 5
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_with_code_4_and_leaves_nothing(files, models, number):
    """A second process, stopped as soon as it tells its first step."""
    words = ["--fixed", files["fixed"], "--moving", files["moving"], "--output-transform", files["out"] / "t.h5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "DeepMultiModalRegLib", "register", *map(str, words), *everything(files), "--progress"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "DeepMultiModalReg"), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    first = process.stderr.readline()
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 4, first + rest
    assert "cancelled" in rest.lower() and "Traceback" not in rest
    assert list(files["out"].iterdir()) == []


def test_progress_goes_to_stderr_only_when_asked_for(files, capsys):
    assert run(files, "--progress") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("  0 %") and lines[-1].startswith("100 %")


def test_two_runs_write_the_same_transform_byte_for_byte(files, tmp_path):
    assert run(files) == 0
    first = sitk.ReadTransform(str(files["out"] / "t.h5"))
    time.sleep(0.01)
    assert run(files) == 0
    second = sitk.ReadTransform(str(files["out"] / "t.h5"))
    for a, b in zip((first,), (second,), strict=True):
        a, b = sitk.CompositeTransform(a), sitk.CompositeTransform(b)
        for n in range(a.GetNumberOfTransforms()):
            assert a.GetNthTransform(n).GetParameters() == b.GetNthTransform(n).GetParameters()
            assert a.GetNthTransform(n).GetFixedParameters() == b.GetNthTransform(n).GetFixedParameters()
