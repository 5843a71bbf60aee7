"""A shipped model on the bundled pair, through the panel and its real child; the same by Python and command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import torch

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)

from conftest import ROOT  # noqa: E402
from harness.driving import apply, choose, pictured  # noqa: E402
from harness.pairs import state  # noqa: E402

from DeepMultiModalRegLib.cli import main  # noqa: E402
from DeepMultiModalRegLib.demo import set_window  # noqa: E402
from DeepMultiModalRegLib.io import read_transform  # noqa: E402
from DeepMultiModalRegLib.mrml import transform_from_node  # noqa: E402
from DeepMultiModalRegLib.panel import models, process  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData"
CHILD = process.child_command


def test_a_shipped_model_brings_the_bundled_pair_together_and_the_panel_shows_it(
    panel, headless, monkeypatch, tmp_path, temporary_folder
) -> None:
    shipped = [model for model in models.installed() if model.name.startswith("hierarchical")]
    assert shipped
    model = max(shipped, key=lambda m: m.dimension)
    monkeypatch.setattr(process, "child_command", CHILD)
    fixed = headless.load_volume(SAMPLE / "fixed_t1.nii.gz", "T1")
    moving = headless.load_volume(SAMPLE / "moving_t2.nii.gz", "T2")
    for node in (fixed, moving):
        set_window(node)
    choose(panel, fixed, moving)
    panel.parameters.model = model.name
    panel.ui.inverseCheckBox.setChecked(True)
    panel.ui.translatedCheckBox.setChecked(True)
    pictured(panel, "ready", tmp_path)
    before = {n.GetID(): state(headless.scene)[n.GetID()] for n in (fixed, moving)}
    assert apply(panel, 900) < 0.2
    assert panel.run.registration.error is None
    assert {n.GetID(): state(headless.scene)[n.GetID()] for n in (fixed, moving)} == before
    assert list(temporary_folder.iterdir()) == []
    forward = panel.parameters.shownTransform.GetTransformFromParent()
    truth = sitk.ReadTransform(str(SAMPLE / "truth.h5"))
    head = sitk.ReadImage(str(SAMPLE / "fixed_head_mask.nii.gz"))
    inside = np.argwhere(sitk.GetArrayFromImage(head) > 0)[::3001, ::-1]
    points = [np.array(head.TransformIndexToPhysicalPoint([int(i) for i in index])) for index in inside]
    flip = np.array([-1.0, -1.0, 1.0])
    found = [flip * forward.TransformPoint(flip * x) for x in points]
    true = [np.array(truth.TransformPoint(x)) for x in points]
    error, identity = (np.linalg.norm(np.subtract(true, other), axis=1).mean() for other in (found, points))
    assert error < 0.5 * identity
    assert "Inverse consistency:</b> 0." in panel.ui.qualityLabel.text and panel.ui.differenceButton.enabled
    panel.ui.differenceButton.click()
    panel.ui.jacobianButton.click()
    assert "factor" in panel.ui.qualityLabel.text
    pictured(panel, "done", tmp_path)
    same_through_python_and_the_command_line(panel, model.name, tmp_path)


def same_through_python_and_the_command_line(panel, model: str, tmp_path) -> None:
    """The field, the volumes and the report of panel, logic and command line."""
    ours = transform_from_node(panel.parameters.shownTransform)
    p = panel.parameters
    transform, volume = panel.logic.process(p.fixedVolume, p.movingVolume, model=model, device="cpu")
    theirs = transform_from_node(transform)
    assert torch.equal(ours.dense.field.tensor, theirs.dense.field.tensor)
    assert torch.equal(ours.affine.matrix, theirs.affine.matrix)
    assert np.array_equal(slicer.util.arrayFromVolume(p.shownVolume), slicer.util.arrayFromVolume(volume))
    reports = [json.loads(node.GetAttribute("DeepMultiModalReg.Report")) for node in (p.shownTransform, transform)]
    assert reports[0]["similarity"] == reports[1]["similarity"] and reports[0]["model"]["name"] == model
    arguments = ["register", "--fixed", SAMPLE / "fixed_t1.nii.gz", "--moving", SAMPLE / "moving_t2.nii.gz"]
    arguments += ["--model", model, "--device", "cpu", "--output-transform", tmp_path / "T.h5"]
    assert main([str(a) for a in arguments]) == 0
    x = ours.dense.field.grid.points(torch.float64).reshape(-1, 3)[::97]
    written = read_transform(tmp_path / "T.h5")
    # Slicer rounds a NIfTI's header to float32, and a file holds multiples of 1/1024 mm
    assert (written.points(x) - ours.points(x)).norm(dim=1).max() < 2e-3
