"""The demonstration writes what it says, from the bundled pair to the scene, and its figures are those of its files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from fakes import write_tiny_model

pytest.importorskip("slicer", reason="slicer-core is not installed")

from DeepMultiModalRegLib import demo as module  # noqa: E402
from DeepMultiModalRegLib.core import InputError  # noqa: E402
from DeepMultiModalRegLib.mrml.scene import HeadlessScene  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData"
FILES = {
    "transform.h5", "warped.nrrd", "translated.nrrd", "scene.mrb", "report.json",
    "blend.png", "checkerboard.png", "grid.png", "translated.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, what was printed): the demonstration with a network of random weights, so with the start's result."""
    folder = tmp_path_factory.mktemp("demo")
    write_tiny_model(folder / "models", "tiny-3d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPMULTIMODALREG_MODELS", str(folder / "models"))
        words = []
        patch.setattr("builtins.print", lambda *parts, **_: words.append(" ".join(map(str, parts))))
        assert module.demo(folder / "out", "tiny-3d") == 0
    return folder / "out", "\n".join(words)


def test_it_writes_all_of_it_and_nothing_else(made) -> None:
    assert {path.name for path in made[0].iterdir()} == FILES


def test_the_error_it_prints_is_that_of_the_transform_it_saved(made) -> None:
    folder, words = made
    report = json.loads((folder / "report.json").read_text())
    head = sitk.ReadImage(str(SAMPLE / "fixed_head_mask.nii.gz"))
    truth = sitk.ReadTransform(str(SAMPLE / "truth.h5"))
    found = sitk.ReadTransform(str(folder / "transform.h5"))
    inside = np.argwhere(sitk.GetArrayFromImage(head) > 0)[::997, ::-1]
    points = [head.TransformIndexToPhysicalPoint([int(v) for v in index]) for index in inside]
    true = np.array([truth.TransformPoint(p) for p in points])
    error = np.linalg.norm(true - [found.TransformPoint(p) for p in points], axis=1).mean()
    identity = np.linalg.norm(true - points, axis=1).mean()
    assert report["truth"]["after_registration"]["mean"] == pytest.approx(error, abs=0.15)
    assert report["truth"]["as_scanned"]["mean"] == pytest.approx(identity, abs=0.15)
    assert f"{report['truth']['after_registration']['mean']:8.2f}" in words
    assert f"{report['truth']['as_scanned']['mean']:8.2f}" in words and "NMI" in words and "folds" in words


def test_the_saved_volume_is_the_moving_one_under_the_saved_transform(made) -> None:
    fixed, moving = (sitk.ReadImage(str(SAMPLE / f"{name}.nii.gz")) for name in ("fixed_t1", "moving_t2"))
    transform = sitk.ReadTransform(str(made[0] / "transform.h5"))
    expected = sitk.GetArrayFromImage(sitk.Resample(sitk.Cast(moving, sitk.sitkFloat32), fixed, transform))
    warped = sitk.ReadImage(str(made[0] / "warped.nrrd"))
    assert warped.GetPixelID() == moving.GetPixelID()
    assert np.quantile(np.abs(sitk.GetArrayFromImage(warped) - expected), 0.999) <= 0.6


def test_the_scene_opens_with_both_volumes_blended(made) -> None:
    headless = HeadlessScene()
    headless.read(made[0] / "scene.mrb")
    names = {name: headless.scene.GetFirstNodeByName(name) for name in ("T1", "T2", "T2 to T1", "T2 on T1")}
    assert all(names.values()) and names["T2"].GetTransformNodeID() is None
    layers = headless.scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert layers.GetBackgroundVolumeID() == names["T1"].GetID()
    assert layers.GetForegroundVolumeID() == names["T2 on T1"].GetID()
    assert headless.scene.GetFirstNodeByName("truth") is None  # what was made for pictures only is gone


def test_with_the_shipped_model_the_error_falls_to_less_than_half_of_the_start(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("DEEPMULTIMODALREG_MODELS", raising=False)
    assert module.demo(tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    truth = report["truth"]
    assert report["model"]["name"] == module.MODEL
    assert truth["after_registration"]["mean"] < 0.5 * truth["after_start"]["mean"] < truth["as_scanned"]["mean"]
    assert report["folds_percent"] < 0.1 and report["similarity"]["after"] > report["similarity"]["before"]


def test_the_pictures_show_something_else_after_than_before(made) -> None:
    for name in ("blend", "checkerboard"):
        picture = sitk.GetArrayFromImage(sitk.ReadImage(str(made[0] / f"{name}.png"))).astype(int)
        assert picture.shape[2] == 3 and picture.std() > 25
        half = picture.shape[0] // 2
        assert np.abs(picture[60 : half - 20] - picture[60 + half : 2 * half - 20]).mean() > 2


def test_what_is_missing_is_said_before_anything_is_written(tmp_path, monkeypatch) -> None:
    with pytest.raises(InputError, match="no model 'unknown'"):
        module.demo(tmp_path / "out", "unknown")
    (tmp_path / "file").write_text("")
    write_tiny_model(tmp_path / "models", "tiny-3d")
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path / "models"))
    with pytest.raises(InputError, match="cannot be made"):
        module.demo(tmp_path / "file", "tiny-3d")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "a" / "b" / "demo.py"))
    with pytest.raises(InputError, match="bundled pair is not here"):
        module.demo(tmp_path / "out", "unknown")
    assert not (tmp_path / "out").exists()
