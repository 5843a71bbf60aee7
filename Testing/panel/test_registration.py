"""A run in a child process: its course, its end in every way, and what it leaves behind."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import slicer
import vtk
from harness import children
from harness.pairs import alive, ball, state

from DeepMultiModalRegLib.panel.process import Remaining, sentence_for
from DeepMultiModalRegLib.panel.registration import Registration, Settings
from DeepMultiModalRegLib.panel.words import PanelError


def run(pair, command, **settings) -> Registration:
    return Registration(*pair, Settings(command=command, **settings))


def test_a_run_fills_new_nodes_and_takes_its_files_away(pair, headless, temporary_folder) -> None:
    fixed, moving = pair
    before = {n.GetID(): state(headless.scene)[n.GetID()] for n in pair}
    outcome = run(pair, children.QUICK).wait()
    assert outcome.transformNode.GetName() == "T2 to T1" and outcome.volumeNode.GetName() == "T2 on T1"
    assert np.array_equal(slicer.util.arrayFromVolume(outcome.volumeNode), slicer.util.arrayFromVolume(fixed))
    node = outcome.transformNode
    assert node.GetNodeReferenceID(node.GetMovingNodeReferenceRole()) == moving.GetID()
    point = node.GetTransformFromParent().TransformPoint(1.0, 2.0, 3.0)
    assert np.allclose(point, (1.0 - 2.5, 2.0 + 1.5, 3.0 + 0.5))  # LPS in the child, RAS here
    assert outcome.volumeNode.GetDisplayNode().GetWindow() == moving.GetDisplayNode().GetWindow()
    assert {n.GetID(): state(headless.scene)[n.GetID()] for n in pair} == before
    assert list(temporary_folder.iterdir()) == []


def test_given_outputs_are_filled_and_unwanted_ones_not_made(pair, headless, temporary_folder) -> None:
    scene = headless.scene
    target = scene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    count = scene.GetNumberOfNodes()
    outcome = run(pair, children.QUICK, outputTransform=target, outputVolume=False).wait()
    assert outcome.transformNode is target and outcome.volumeNode is None
    assert scene.GetNumberOfNodes() == count


def test_outputs_that_would_change_an_input_are_refused_before_anything_runs(pair, temporary_folder) -> None:
    with pytest.raises(PanelError, match="cannot be an output"):
        run(pair, children.QUICK, outputVolume=pair[0])
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize(
    "command, code, words",
    [
        (children.KILLED, 3, "memory ran out"), (children.CRASHED, 5, "crashed"),
        (children.SILENT, 5, "ValueError: odd"), (children.NO_MEMORY, 3, "Memory does not suffice"),
        (children.UNFINISHED, 5, "without a result"),
    ],
)  # fmt: skip
def test_every_end_of_the_child_is_a_sentence_and_leaves_the_scene_equal(
    pair, headless, temporary_folder, command, code, words
) -> None:
    before = state(headless.scene)
    with pytest.raises(PanelError, match=words) as raised:
        run(pair, command).wait()
    assert raised.value.exit_code == code and str(raised.value).endswith(".")
    assert state(headless.scene) == before
    assert list(temporary_folder.iterdir()) == []


def test_cancelling_at_random_moments_leaves_the_scene_equal_and_no_files(pair, headless, temporary_folder) -> None:
    before = state(headless.scene)
    generator = random.Random(5)
    for _ in range(6):
        running = run(pair, children.SLOW)
        until = time.monotonic() + generator.random() * 0.4
        while time.monotonic() < until:
            running.advance()
            time.sleep(0.005)
        pid = running.process.pid if running.process else None
        began = time.monotonic()
        running.cancel()
        assert time.monotonic() - began < 2.0
        assert running.finished and running.error.exit_code == 4 and running.outcome is None
        assert pid is None or not alive(pid)
        assert list(temporary_folder.iterdir()) == []
    assert state(headless.scene) == before


def test_cancel_ends_what_the_child_started_too(pair, temporary_folder) -> None:
    running = run(pair, children.WITH_CHILDREN)
    until = time.monotonic() + 20
    while running.fraction == 0 and time.monotonic() < until:
        running.advance()
        time.sleep(0.02)
    pids = [running.process.pid, *map(int, running.step.split())]
    assert len(pids) == 3 and all(map(alive, pids))
    began = time.monotonic()
    running.cancel()
    while any(map(alive, pids)) and time.monotonic() - began < 2:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def test_files_are_kept_when_asked_for(pair, temporary_folder) -> None:
    run(pair, children.QUICK, keepFiles=True).wait()
    (folder,) = temporary_folder.iterdir()
    assert {"job.json", "fixed.npy", "moving.npy", "result.json"} <= {p.name for p in folder.iterdir()}


def test_a_volume_removed_meanwhile_is_said(pair, headless, temporary_folder) -> None:
    running = run(pair, children.SLOW)
    running.advance()
    headless.scene.RemoveNode(pair[1])
    running.settings.command = children.QUICK
    with pytest.raises(PanelError, match="removed from the scene"):
        running.wait()


def test_masks_and_parents_go_into_the_job(pair, headless, temporary_folder) -> None:
    import json

    fixed, moving = pair
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 7.0)
    parent = headless.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    parent.SetMatrixTransformToParent(matrix)
    moving.SetAndObserveTransformNodeID(parent.GetID())
    segmentation = headless.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organ")
    labels = ball("labels", kind="vtkMRMLLabelMapVolumeNode", dtype=np.uint8)
    inside = slicer.util.arrayFromVolume(labels)
    inside[:] = inside > 100
    slicer.util.arrayFromVolumeModified(labels)
    assert headless.segmentations.ImportLabelmapToSegmentationNode(labels, segmentation)
    run(pair, children.QUICK, fixedMask=segmentation, movingMask=moving, start=parent, keepFiles=True).wait()
    (folder,) = temporary_folder.iterdir()
    job = json.loads((folder / "job.json").read_text())
    mask = np.load(folder / "fixed_mask.npy")
    assert mask.sum() == inside.sum() and job["moving"]["parent"][0][3] == 7.0
    assert np.array_equal(job["start"]["affine"], np.eye(4))  # it is on the moving volume already


def test_the_remaining_time_is_said_once_it_is_known() -> None:
    now = [0.0]
    remaining = Remaining(lambda: now[0])
    assert remaining.words(0.0) == ""
    now[0] = 10.0
    assert remaining.words(0.25) == "about 30 s left"
    now[0] = 20.0
    assert remaining.words(0.25) == "about 20 s left"  # no news: the clock goes on
    now[0] = 400.0
    assert remaining.words(0.5) == "about 7 min left"


@pytest.mark.parametrize("code, words", [(137, "memory ran out"), (139, "signal 11"), (1, "exit code 1")])
def test_codes_that_a_launcher_passes_on_are_understood(code: int, words: str) -> None:
    assert words in str(sentence_for(code, ""))


def test_voxels_of_every_kind_reach_the_job(headless, temporary_folder) -> None:
    for dtype in (np.uint16, np.float32):
        fixed, moving = ball("a", dtype=dtype), ball("b", dtype=dtype)
        outcome = Registration(fixed, moving, Settings(command=children.QUICK)).wait()
        assert slicer.util.arrayFromVolume(outcome.volumeNode).dtype == dtype
