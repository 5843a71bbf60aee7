"""The panel through PySide6 on a real scene: what a clinician does, and what must never happen."""

from __future__ import annotations

import random
import re
import sys
import time
import types
import typing

import pytest
import slicer
from harness import children
from harness.pairs import ball, state

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)

from harness import application  # noqa: E402
from harness.driving import apply, choose, pictured, wait  # noqa: E402
from harness.watch import Watch  # noqa: E402
from PySide6 import QtCore  # noqa: E402

from DeepMultiModalRegLib.panel import devices, models, packages, process  # noqa: E402
from DeepMultiModalRegLib.panel.method_section import STARTS  # noqa: E402


def test_apply_says_what_is_missing_until_nothing_is(panel, tmp_path) -> None:
    button = panel.ui.applyButton
    assert not button.enabled and button.text == "Choose a fixed and a moving volume"
    assert panel.ui.advancedCollapsibleButton.collapsed and not panel.ui.inputsCollapsibleButton.collapsed
    pictured(panel, "empty", tmp_path)
    fixed = ball("T1")
    panel.ui.fixedSelector.setCurrentNode(fixed)
    assert not button.enabled and button.text == "Choose a moving volume"
    panel.ui.movingSelector.setCurrentNode(fixed)
    assert not button.enabled and button.text == "Choose two different volumes"
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    panel.ui.movingSelector.setCurrentNode(empty)
    assert not button.enabled and "hollow" in button.text
    panel.ui.movingSelector.setCurrentNode(ball("T2"))
    assert button.enabled and button.text == "Apply" and not panel.ui.cancelButton.enabled
    pictured(panel, "ready", tmp_path)


def test_models_that_fit_come_first_and_describe_themselves(panel) -> None:
    selector = panel.ui.modelSelector
    choose(panel)
    words = [selector.itemText(i) for i in range(selector.count)]
    own = [w for w in words if w.startswith("tiny")]
    assert own[0] == "tiny-t1t2-3d" and own[-1] == "tiny-ct-3d (trained for other images)"
    selector.setCurrentIndex(words.index("tiny-t1t2-3d"))
    assert panel.parameters.model == "tiny-t1t2-3d"
    for part in ("T1, T2", "phantom", "Apache-2.0", "Registers nothing."):
        assert part in panel.ui.modelDescription.text
    panel.ui.modeSelector.setCurrentIndex(panel.ui.modeSelector.findData("slices"))
    assert panel.parameters.mode == "slices"
    assert not any(selector.itemText(i).startswith("tiny") for i in range(selector.count))


def test_the_network_that_finds_any_pose_is_offered_where_its_model_is_installed(panel, tmp_path) -> None:
    selector = panel.ui.startSelector
    had = selector.findData("network") >= 0  # with the shipped models
    folder = tmp_path / "models" / "equivariant-x-3d"
    folder.mkdir()
    (folder / "model.yaml").write_text("method: equivariant_volume\ndimension: 3\n")
    panel.method.read_models()
    index = selector.findData("network")
    assert index >= 0 and selector.count == len(STARTS) and had == (shipped_pose_model() is not None)
    selector.setCurrentIndex(index)
    assert panel.settings()["start"] == "network" and selector.currentText == "Any pose: pretrained network"
    panel.refresh()
    words = [panel.ui.modelSelector.itemText(i) for i in range(panel.ui.modelSelector.count)]
    assert not any("equivariant" in w for w in words)


def shipped_pose_model():
    return next((m for m in models.installed() if m.locates and m.dimension == 3 and "-x-" not in m.name), None)


def test_apply_makes_the_outputs_shows_them_and_changes_no_input(panel, tmp_path) -> None:
    fixed, moving = choose(panel)
    fixed.GetDisplayNode().SetWindowLevelMinMax(10, 210)
    before = {n.GetID(): state(slicer.mrmlScene)[n.GetID()] for n in (fixed, moving)}
    longest = apply(panel)
    assert longest < 0.2
    assert {n.GetID(): state(slicer.mrmlScene)[n.GetID()] for n in (fixed, moving)} == before
    assert panel.ui.transformSelector.currentNode().GetName() == "T2 to T1"
    registered = panel.ui.volumeSelector.currentNode()
    assert registered.GetName() == "T2 on T1" and panel.ui.statusLabel.text.startswith("Done")
    for layers in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert layers.GetBackgroundVolumeID() == fixed.GetID()
        assert layers.GetForegroundVolumeID() == registered.GetID() and layers.GetForegroundOpacity() == 0.5
    assert fixed.GetDisplayNode().GetWindowLevelMax() == 210
    assert "1.050 before, 1.200 after" in panel.ui.qualityLabel.text and "tiny" in panel.ui.reportText.toPlainText()
    pictured(panel, "done", tmp_path)
    count = slicer.mrmlScene.GetNumberOfNodes()
    apply(panel)  # once more, into the same nodes
    assert slicer.mrmlScene.GetNumberOfNodes() == count and panel.ui.volumeSelector.currentNode() is registered


def test_the_bundled_pair_never_keeps_the_window_waiting(panel, headless) -> None:
    sample = application.MODULE.parent / "Resources" / "SampleData"
    fixed = headless.load_volume(sample / "fixed_t1.nii.gz", "T1 head")
    moving = headless.load_volume(sample / "moving_t2.nii.gz", "T2 head")
    choose(panel, fixed, moving)
    before = {n.GetID(): state(slicer.mrmlScene)[n.GetID()] for n in (fixed, moving)}
    assert apply(panel, 60) < 0.2
    assert {n.GetID(): state(slicer.mrmlScene)[n.GetID()] for n in (fixed, moving)} == before
    assert panel.ui.volumeSelector.currentNode().GetName() == "T2 head on T1 head"


def test_progress_is_shown_and_cancel_leaves_the_scene_equal(
    panel, monkeypatch, tmp_path, temporary_folder
) -> None:
    monkeypatch.setattr(process, "child_command", lambda: children.SLOW)
    choose(panel)
    slicer.app.processEvents()
    before = state(slicer.mrmlScene)
    generator = random.Random(3)
    for attempt in range(5):  # twenty with the real child: test_real_child
        panel.ui.applyButton.click()
        assert panel.ui.cancelButton.enabled and not panel.ui.applyButton.enabled
        assert not panel.ui.inputsCollapsibleButton.enabled
        assert panel.run.running
        if attempt == 0:
            wait(panel, lambda: panel.run.registration.fraction > 0.17)
            words = panel.ui.progressBar.format
            assert "network" in words and "s left" in words and panel.ui.progressBar.value >= 160
            assert "network" in panel.ui.logText.toPlainText()
            pictured(panel, "running", tmp_path)
        else:
            end = time.monotonic() + 0.3 * generator.random()
            wait(panel, lambda end=end: time.monotonic() > end)
        began = time.monotonic()
        panel.ui.cancelButton.click()
        assert time.monotonic() - began < 2.0 and not panel.run.running
        assert panel.ui.statusLabel.text == "Cancelled; nothing was changed." and panel.ui.applyButton.enabled
        assert state(slicer.mrmlScene) == before and list(temporary_folder.iterdir()) == []
        assert panel.ui.logText.toPlainText().endswith("cancelled")
        if attempt == 0:
            panel.ui.logCollapsibleButton.collapsed = False
            pictured(panel, "cancelled", tmp_path)
    assert slicer.app.boxes == []


def test_a_worker_that_dies_is_a_sentence_with_a_remedy(panel, monkeypatch, tmp_path) -> None:
    choose(panel)
    before = state(slicer.mrmlScene)
    for command, words in ((children.KILLED, "memory ran out"), (children.CRASHED, "device CPU")):
        monkeypatch.setattr(process, "child_command", lambda c=command: c)
        apply(panel)
        assert words in panel.ui.statusLabel.text and words in slicer.app.boxes[-1]
        assert state(slicer.mrmlScene) == before and panel.ui.applyButton.enabled
    assert panel.ui.logText.toPlainText().count("Fatal: abc") == 1
    panel.ui.logCollapsibleButton.collapsed = False
    pictured(panel, "failed", tmp_path)


def test_an_output_that_is_an_input_is_refused_in_words(panel) -> None:
    fixed, moving = choose(panel)
    panel.ui.volumeSelector.setCurrentNode(moving)
    panel.ui.applyButton.click()
    assert not panel.run.running and "inputs are never changed" in slicer.app.boxes[-1]


def test_closing_the_scene_ends_the_run_and_empties_the_panel(panel, monkeypatch, temporary_folder) -> None:
    monkeypatch.setattr(process, "child_command", lambda: children.SLOW)
    choose(panel)
    panel.ui.applyButton.click()
    wait(panel, lambda: panel.run.registration.fraction > 0)
    slicer.mrmlScene.Clear(0)
    slicer.app.processEvents()
    assert not panel.run.running and list(temporary_folder.iterdir()) == []
    assert panel.ui.fixedSelector.currentNode() is None and not panel.ui.applyButton.enabled
    choose(panel)
    assert panel.ui.applyButton.enabled


def test_everything_persists_in_the_scene(panel, headless, tmp_path) -> None:
    fixed, _ = choose(panel)
    panel.ui.inverseCheckBox.setChecked(True)
    panel.ui.refineSpinBox.setValue(-5)
    assert panel.parameters.refine == 0 and panel.ui.refineSpinBox.text == "none"
    panel.ui.refineSpinBox.setValue(7)
    panel.ui.startSelector.setCurrentIndex(panel.ui.startSelector.findData("centre"))
    apply(panel)
    headless.save(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(0)
    slicer.app.processEvents()
    assert panel.ui.refineSpinBox.value == 0
    headless.read(tmp_path / "scene.mrb")
    panel.exit()
    panel.enter()
    assert panel.ui.refineSpinBox.value == 7 and panel.ui.inverseCheckBox.checked
    assert panel.parameters.start == "centre"
    assert panel.ui.startSelector.currentText == "Middles of the volumes together"
    assert panel.ui.fixedSelector.currentNode().GetName() == "T1"
    assert "1.050 before" in panel.ui.qualityLabel.text  # the report travelled with the transform


def test_every_parameter_comes_back_with_the_scene(panel, headless, tmp_path) -> None:
    values = {"start": "none", "mode": "slices", "device": "cpu", "model": "rigid"}
    kept = {}
    for name, kind in panel.parameters.allParameters.items():
        if kinds := [k for k in (typing.get_args(kind) or (kind,)) if hasattr(k, "GetClassName")]:
            node = slicer.mrmlScene.AddNewNodeByClass(kinds[0].__name__, f"a {name}")
            setattr(panel.parameters, name, node)
            kept[name] = node.GetName()
        else:
            old = getattr(panel.parameters, name)
            kept[name] = values[name] if kind is str else not old if kind is bool else 3
            setattr(panel.parameters, name, kept[name])
    further = ball("further")
    panel.ui.transferSelector.check(further)
    headless.save(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(0)
    slicer.app.processEvents()
    assert panel.parameters.fixedVolume is None and panel.ui.transferSelector.checkedNodes() == []
    headless.read(tmp_path / "scene.mrb")
    panel.exit()
    panel.enter()
    found = {name: getattr(panel.parameters, name) for name in kept}
    assert len(kept) > 20
    assert {name: v.GetName() if hasattr(v, "GetName") else v for name, v in found.items()} == kept
    assert panel.ui.modeSelector.currentText == "Slices" and panel.ui.modelSelector.currentText == "rigid"
    assert [node.GetName() for node in panel.ui.transferSelector.checkedNodes()] == ["further"]


def test_graphics_cards_are_asked_for_when_advanced_is_opened_and_nobody_waits(panel, monkeypatch, tmp_path) -> None:
    selector = panel.ui.deviceSelector
    assert [selector.itemData(i) for i in range(selector.count)] == ["auto", "cpu"]
    assert re.fullmatch(r"Processor \(CPU\), [1-9]\d* GB", selector.itemText(1))
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nsleep 0.5\necho '0, NVIDIA RTX 4000, 20475'\necho '1, [N/A], [N/A]'\n")
    tool.chmod(0o755)
    monkeypatch.setattr(devices.shutil, "which", lambda name: str(tool))
    panel.parameters.device = "cuda:0"  # of a scene made here before
    assert selector.currentText == "cuda:0"
    watch = Watch()
    with watch:
        panel.ui.advancedCollapsibleButton.collapsed = False
    wait(panel, lambda: not panel.deviceTimer.active, watch=watch)
    assert watch.longest < 0.2
    assert [selector.itemText(i) for i in (0, 2)] == ["Automatic", "NVIDIA RTX 4000, 20 GB"] and selector.count == 3
    assert panel.settings()["device"] == "cuda:0"
    pictured(panel, "advanced", tmp_path)
    selector.setCurrentIndex(1)
    assert panel.parameters.device == "cpu"


def test_the_watch_sees_a_window_that_sleeps(panel) -> None:
    timer = QtCore.QTimer()
    timer.connect("timeout()", lambda: time.sleep(0.3))
    timer.start(20)
    end = time.monotonic() + 1.0
    assert 0.28 < wait(panel, lambda: time.monotonic() > end) < 0.8
    timer.stop()


def test_the_module_names_itself_and_offers_its_sample_when_slicer_has_started(app, monkeypatch) -> None:
    module = application.load_module(monkeypatch)
    parent = types.SimpleNamespace()
    module.DeepMultiModalReg(parent)
    assert parent.title == "DeepMultiModalReg" and "research" in parent.helpText and parent.acknowledgementText
    offered = []
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **given: offered.append(given["sampleName"]))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    slicer.app.startupCompleted.emit()
    assert offered == ["DeepMultiModalRegT1T2"]


@pytest.mark.parametrize("release", ["askConfirmation", "confirm", "plain"])
def test_missing_torch_is_said_and_installed_once_after_a_yes(panel, monkeypatch, tmp_path, release) -> None:
    asked, here = [], {"yaml"}

    class PyTorchUtilsLogic:  # its releases disagree on names
        if release == "askConfirmation":

            def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
                asked.append((askConfirmation, torchVersionRequirement))
                here.add("torch")
                return object()
        elif release == "confirm":

            def installTorch(self, confirm=True, forceComputationBackend=None):
                asked.append((confirm, None))
                here.add("torch")
        else:

            def installTorch(self):
                asked.append(())
                here.add("torch")

    monkeypatch.setattr(packages, "installed", lambda package: package in here)
    choose(panel)
    panel.refresh()
    assert panel.ui.setupLabel.text == "PyTorch not installed." and not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.text == "PyTorch not installed" and panel.ui.installButton.visible
    pictured(panel, "setup", tmp_path)
    panel.ui.installButton.click()
    assert "Extensions Manager" in slicer.app.boxes[-1]  # without the extension PyTorch
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    slicer.app.answer = application.QtWidgets.QMessageBox.Cancel
    panel.ui.installButton.click()
    assert asked == []
    slicer.app.answer = application.QtWidgets.QMessageBox.Ok
    panel.ui.installButton.click()
    panel.ui.installButton.click()
    assert asked == [{"askConfirmation": (False, ">=2.1"), "confirm": (False, None), "plain": ()}[release]]
    assert panel.ui.applyButton.enabled and not panel.ui.installButton.visible


def test_the_comparison_buttons_change_the_views_and_give_them_back(panel) -> None:
    fixed, moving = choose(panel)
    other = ball("before")
    apply(panel)
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    for layers in views:
        layers.SetBackgroundVolumeID(other.GetID())
        layers.SetForegroundVolumeID(None)
    seen = [(v.GetBackgroundVolumeID(), v.GetForegroundVolumeID(), v.GetCompositing()) for v in views]
    nodes = set(state(slicer.mrmlScene))
    colour = fixed.GetDisplayNode().GetColorNodeID()
    assert not panel.ui.differenceButton.enabled and "translated" in panel.ui.differenceButton.toolTip
    for mode in ("blend", "redCyan", "checkerboard", "flicker", "sideBySide", "grid"):
        button = getattr(panel.ui, f"{mode}Button")
        button.click()
        assert button.checked and panel.ui.afterButton.checked and panel.views.comparison.mode == mode
        assert [(v.GetBackgroundVolumeID(), v.GetForegroundVolumeID(), v.GetCompositing()) for v in views] != seen
        panel.ui.beforeButton.click()
        assert panel.ui.beforeButton.checked and not panel.ui.afterButton.checked
        panel.ui.afterButton.click()
    panel.ui.blendButton.click()
    panel.ui.blendSlider.value = 0.25
    assert all(v.GetForegroundOpacity() == 0.25 for v in views)
    panel.exit()
    assert [(v.GetBackgroundVolumeID(), v.GetForegroundVolumeID(), v.GetCompositing()) for v in views] == seen
    assert fixed.GetDisplayNode().GetColorNodeID() == colour and not panel.flickerTimer.active
    assert set(state(slicer.mrmlScene)) == nodes
