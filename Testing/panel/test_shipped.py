"""A shipped model on the bundled pair, through the panel and its real child."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)

from conftest import ROOT  # noqa: E402
from harness.driving import apply, choose, pictured  # noqa: E402

from DeepMultiModalRegLib.demo import set_window  # noqa: E402
from DeepMultiModalRegLib.panel import models, process  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData"
CHILD = process.child_command


def test_a_shipped_model_brings_the_bundled_pair_together_and_the_panel_shows_it(
    panel, headless, monkeypatch, tmp_path
) -> None:
    shipped = [model for model in models.installed() if model.name.startswith("hierarchical")]
    if not shipped:
        pytest.skip("no model is in models/ yet")
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
    assert apply(panel, 900) < 0.2
    assert panel.run.registration.error is None
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
