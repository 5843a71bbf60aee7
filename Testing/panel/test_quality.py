"""Figures against closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import vtk
from harness.pairs import ball

from DeepMultiModalRegLib.mrml import nodes
from DeepMultiModalRegLib.panel import derived, quality
from DeepMultiModalRegLib.panel.comparison import MODES, Comparison
from DeepMultiModalRegLib.panel.transfer import Transfer
from DeepMultiModalRegLib.panel.words import PanelError


def transform_node(scene, field=None, grid=None, affine=None):
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "T")
    node.SetAndObserveTransformFromParent(nodes.vtk_transform(field, grid, np.eye(4) if affine is None else affine))
    return node


def grid_around(size=(20, 18, 16), spacing=(2.0, 2.5, 3.0)) -> dict:
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    return {"size": size, "spacing": spacing, "origin": (-15.0, -20.0, -22.0), "direction": turn.flatten().tolist()}


def field_of(grid: dict, matrix: np.ndarray) -> np.ndarray:
    """(3, K, J, I) LPS: the displacement (matrix - 1) x on a lattice."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid["size"][::-1]), indexing="ij")
    index = np.stack([i, j, k], -1) * np.array(grid["spacing"])
    points = index @ np.array(grid["direction"]).reshape(3, 3).T + np.array(grid["origin"])
    return np.moveaxis(points @ (matrix - np.eye(3)).T, -1, 0)


@pytest.mark.parametrize("with_affine", [False, True])
def test_the_jacobian_of_a_linear_field_is_its_determinant_everywhere(headless, with_affine: bool) -> None:
    matrix = np.array([[1.1, 0.2, 0.0], [-0.1, 0.9, 0.05], [0.0, 0.1, 1.2]])
    affine = np.eye(4)
    if with_affine:
        affine[:3, :3] = np.diag([1.5, 1.0, 0.8])
    grid = grid_around()
    node = transform_node(headless.scene, field_of(grid, matrix), grid, affine)
    found, _ = quality.jacobian(node)
    assert np.allclose(found, np.linalg.det(matrix) * np.linalg.det(affine), rtol=1e-5)


def test_a_volume_of_the_jacobian_lies_where_the_field_lies(headless) -> None:
    grid = grid_around()
    node = transform_node(headless.scene, field_of(grid, np.diag([-1.0, 1.0, 1.0])), grid)
    volume = quality.jacobian_volume(headless.scene, node, None)
    assert volume.GetImageData().GetScalarRange() == pytest.approx((-1.0, -1.0), abs=1e-5)
    last = np.array([*np.subtract(grid["size"], 1), 1.0])
    lps = np.array(grid["origin"]) + np.array(grid["direction"]).reshape(3, 3) @ (last[:3] * grid["spacing"])
    assert np.allclose((nodes.index_to_ras(volume) @ last)[:3], lps * (-1, -1, 1))
    with pytest.raises(PanelError, match="bends nothing"):
        quality.jacobian(transform_node(headless.scene))


def test_dice_rises_to_one_when_the_transform_undoes_the_shift(headless) -> None:
    scene = headless.scene
    segmentations = []
    for name, shift in (("fixed", (0, 0, 0)), ("moving", (6, 0, 0))):
        labels = ball(f"{name} labels", shift, kind="vtkMRMLLabelMapVolumeNode", dtype=np.uint8)
        array = slicer.util.arrayFromVolume(labels)
        array[:] = array > 100
        slicer.util.arrayFromVolumeModified(labels)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        assert headless.segmentations.ImportLabelmapToSegmentationNode(labels, node)
        node.GetSegmentation().GetNthSegment(0).SetName("organ")
        segmentations.append(node)
    fixed, moving = ball("T1"), ball("T2", (6, 0, 0))
    affine = np.eye(4)
    affine[0, 3] = -6.0  # LPS
    transform = transform_node(scene, affine=affine)
    before, after = quality.dice(*segmentations, fixed, moving, transform)["organ"]
    assert after == 1.0 and 0.3 < before < 0.9
    segmentations[1].SetAndObserveTransformNodeID(transform.GetID())  # already transferred: the same figures
    assert quality.dice(*segmentations, fixed, moving, transform)["organ"] == (before, after)
    segmentations[1].GetSegmentation().GetNthSegment(0).SetName("other")
    with pytest.raises(PanelError, match="same name"):
        quality.dice(*segmentations, fixed, moving, transform)


def test_landmark_lists_of_different_length_are_refused(headless) -> None:
    scene = headless.scene
    a, b = (scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", n) for n in "ab")
    a.AddControlPoint(0, 0, 0)
    with pytest.raises(PanelError, match="1 and 0 points"):
        quality.landmark_errors(a, b, ball("T2"), transform_node(scene))


def test_a_volume_under_a_parent_is_resampled_where_it_lies_in_the_world(headless) -> None:
    fixed = ball("T1")
    moving = ball("T2", (4, -2, 2), size=(30, 26, 28), spacing=1.5)
    matrix = vtk.vtkMatrix4x4()
    for axis, value in enumerate((-4.0, 2.0, -2.0)):
        matrix.SetElement(axis, 3, value)
    parent = headless.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "P")
    parent.SetMatrixTransformToParent(matrix)
    off = derived.on_fixed_lattice(moving, fixed).astype(float) - slicer.util.arrayFromVolume(fixed)
    moving.SetAndObserveTransformNodeID(parent.GetID())
    on = derived.on_fixed_lattice(moving, fixed).astype(float) - slicer.util.arrayFromVolume(fixed)
    assert np.abs(on).mean() < 0.35 * np.abs(off).mean()


def test_checkerboard_and_difference_show_both_volumes_and_go_away(headless) -> None:
    scene = headless.scene
    fixed, moving, translated = ball("T1"), ball("T2", (4, 0, 0)), ball("T2 as T1")
    layers = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    comparison = Comparison(scene, fixed, moving, ball("T2 on T1"), translated)
    count = scene.GetNumberOfNodes()
    comparison.show("checkerboard")
    board = slicer.util.arrayFromVolume(scene.GetNodeByID(layers.GetBackgroundVolumeID()))
    assert board.dtype == np.uint8
    after = board.copy()
    comparison.show("checkerboard", after=False)
    before = slicer.util.arrayFromVolume(scene.GetNodeByID(layers.GetBackgroundVolumeID()))
    changed = (after != before).mean()
    assert 0.02 < changed < 0.5  # the moving one's squares only
    comparison.show("difference")
    difference = slicer.util.arrayFromVolume(scene.GetNodeByID(layers.GetBackgroundVolumeID()))
    assert np.abs(difference).max() == 0
    comparison.close()
    assert scene.GetNumberOfNodes() == count and layers.GetBackgroundVolumeID() is None


@pytest.mark.parametrize("mode", MODES)
def test_every_comparison_can_be_asked_for_without_any_view(headless, mode: str) -> None:
    scene = headless.scene
    fixed, moving, translated = ball("T1"), ball("T2", (4, 0, 0)), ball("T2 as T1")
    comparison = Comparison(scene, fixed, moving, ball("T2 on T1"), translated, transform_node(scene))
    comparison.show(mode)
    comparison.tick()
    comparison.fade(0.3)
    comparison.close()
    assert not comparison.shown and scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode") == 0


def test_the_report_is_told_in_words(headless) -> None:
    node = transform_node(headless.scene)
    assert quality.lines_of(quality.report_of(node)) == []
    node.SetAttribute(quality.REPORT_ATTRIBUTE, json.dumps({
        "similarity": {"before": 1.0, "after": 1.25}, "folds_percent": 0.02, "warnings": ["Look twice."],
        "inverse_round_trip_mm": {"mean": 0.01, "max": 0.3},
    }))  # fmt: skip
    words = dict(quality.lines_of(quality.report_of(node)))
    assert words["Similarity (NMI)"].startswith("1.000 before, 1.250 after") and words["Warning"] == "Look twice."
    assert words["Folds"] == "0.020 % of the field turn tissue inside out"
    assert "0.30 mm at most" in words["Inverse consistency"]


def test_transfer_refuses_what_lies_elsewhere_before_anything_is_changed(headless) -> None:
    scene = headless.scene
    fixed, moving, one, two = ball("T1"), ball("T2"), ball("one"), ball("two")
    transform, elsewhere = transform_node(scene), transform_node(scene)
    two.SetAndObserveTransformNodeID(elsewhere.GetID())
    transfer = Transfer()
    with pytest.raises(PanelError, match="another transform"):
        transfer.apply([one, two], transform, fixed, moving)
    assert one.GetParentTransformNode() is None and not transfer.can_undo
