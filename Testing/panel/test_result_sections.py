"""Quality and Transfer in the panel: figures on the result, and the transform for whatever else belongs to it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import slicer
from harness.pairs import ball

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)

from harness.driving import apply, choose, pictured  # noqa: E402


def test_transfer_puts_the_transform_on_what_is_ticked_and_takes_it_off(panel, tmp_path) -> None:
    fixed, moving = choose(panel)
    apply(panel)
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint(1.0, 2.0, 3.0)
    further = [ball("further"), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs"),
               slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "surface"), points]  # fmt: skip
    for node in further:
        panel.ui.transferSelector.check(node)
    panel.ui.transferButton.click()
    assert all(node.GetParentTransformNode() is panel.parameters.shownTransform for node in further)
    where = [0.0] * 3
    points.GetNthControlPointPositionWorld(0, where)
    assert np.allclose(where, (1.0 + 2.5, 2.0 - 1.5, 3.0 - 0.5))  # back along the way from fixed to moving
    assert "'T2 to T1' is on further, organs, surface, points" in panel.ui.transferStatus.text
    for section in ("inputs", "method", "outputs", "views", "quality", "transfer"):
        getattr(panel.ui, f"{section}CollapsibleButton").collapsed = section != "transfer"
    pictured(panel, "transfer", tmp_path)
    panel.ui.transferUndoButton.click()
    assert all(node.GetParentTransformNode() is None for node in further)
    panel.ui.transferSelector.setCheckState(fixed, 2)
    panel.ui.transferButton.click()
    assert "fixed volume" in slicer.app.boxes[-1] and points.GetParentTransformNode() is None


def test_measuring_segmentations_gives_dice_before_and_after(panel, headless) -> None:
    fixed, moving = choose(panel, ball("T1"), ball("T2", (2.5, -1.5, -0.5)))
    apply(panel)
    for role, shift in (("fixed", (0.0, 0.0, 0.0)), ("moving", (-2.5, 1.5, 0.5))):  # where the child says that it lies
        labels = ball(f"{role} labels", shift, kind="vtkMRMLLabelMapVolumeNode", dtype=np.uint8)
        array = slicer.util.arrayFromVolume(labels)
        array[:] = array > 100
        slicer.util.arrayFromVolumeModified(labels)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{role} organs")
        assert headless.segmentations.ImportLabelmapToSegmentationNode(labels, node)
        node.GetSegmentation().GetNthSegment(0).SetName("organ")
        getattr(panel.ui, f"{role}SegmentsSelector").setCurrentNode(node)
    assert panel.ui.measureButton.enabled
    panel.ui.measureButton.click()
    words = re.search(r"Dice organ:</b> (\S+) before, (\S+) after", panel.ui.qualityLabel.text)
    assert float(words[1]) + 0.05 < 0.9 < float(words[2])
    panel.ui.jacobianButton.click()  # an affine bends nothing: that is said
    assert "bends nothing" in slicer.app.boxes[-1]


def test_measuring_landmarks_gives_their_distance_before_and_after(panel) -> None:
    choose(panel)
    apply(panel)
    lists = {}
    for name in ("fixed", "moving"):
        lists[name] = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"{name} points")
        getattr(panel.ui, f"{name}PointsSelector").setCurrentNode(lists[name])
    forward = panel.parameters.shownTransform.GetTransformFromParent()
    for x in np.random.default_rng(1).normal(0, 10, (4, 3)):
        lists["fixed"].AddControlPoint(*x)
        lists["moving"].AddControlPoint(*(np.array(forward.TransformPoint(x)) + (0.0, 0.0, 2.0)))
    panel.ui.measureButton.click()
    assert "2.00 mm after on average; 2.00 mm at most" in panel.ui.qualityLabel.text
    shift = np.linalg.norm([-2.5, 1.5, 2.5])
    assert f"{shift:.2f} mm before" in panel.ui.qualityLabel.text
