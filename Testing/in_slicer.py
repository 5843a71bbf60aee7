"""The panel's flows inside a real Slicer, headless; ends with an exit code (0: all passed).

    Slicer --no-splash --no-main-window --testing --additional-module-paths DeepMultiModalReg \\
        --python-script Testing/in_slicer.py

Needs the extension PyTorch with torch installed, PyYAML, and a model (models/, or DEEPMULTIMODALREG_MODELS).
What the tests outside Slicer cannot prove is checked here: the real widgets, the real parameter node, PythonSlicer as
the child, and the module's own Test class. (Testing/panel/test_in_slicer.py plays this very script on slicer-core with
stand-ins for the widgets, so that it is not the script that fails in Slicer.) Screenshots go into the folder that
DEEPMULTIMODALREG_SCREENSHOTS names, if it does.
"""

import os
import signal
import sys
import time
import traceback

import numpy as np
import qt
import slicer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness.watch import Watch  # noqa: E402

FAILED = []
MODES = ("blend", "redCyan", "checkerboard", "flicker", "sideBySide", "together", "grid", "difference")


def ball(name, shift=0.0):
    """A volume of 64 x 64 x 64 voxels of 2 mm with a soft ball, `shift` mm off centre."""
    k, j, i = np.mgrid[0:64, 0:64, 0:64] * 2.0 - 63.0
    distance = np.sqrt((i - shift) ** 2 + (j / 1.2) ** 2 + (k / 0.9) ** 2)
    array = (200.0 / (1.0 + np.exp((distance - 35.0) / 2.0)) + 40.0 * (distance < 18.0)).astype(np.int16)
    node = slicer.util.addVolumeFromArray(array, name=name)
    node.SetSpacing(2.0, 2.0, 2.0)
    node.SetOrigin(-63.0, -63.0, -63.0)
    node.CreateDefaultDisplayNodes()
    return node


def opened():
    """The module's widget in a fresh scene."""
    slicer.mrmlScene.Clear(0)
    widget = slicer.util.getNewModuleWidget("DeepMultiModalReg")
    widget.enter()
    return widget


def choose(panel):
    fixed, moving = ball("T1"), ball("T2", 6.0)
    panel.ui.fixedSelector.setCurrentNode(fixed)
    panel.ui.movingSelector.setCurrentNode(moving)
    slicer.app.processEvents()
    return fixed, moving


def wait(until, seconds=300.0, watch=None):
    """The event loop, until then; the longest that it was away."""
    watch, end = watch or Watch(), time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it took too long"
        with watch:
            slicer.app.processEvents(qt.QEventLoop.AllEvents, 20)
        time.sleep(0.002)
    return watch.longest


def apply(panel):
    """Presses Apply and waits for the end; the longest that the window was away."""
    watch = Watch()
    with watch:
        panel.ui.applyButton.click()
    assert panel.run.running, panel.ui.statusLabel.text
    wait(lambda: not panel.run.running, watch=watch)
    return watch.longest


def pictured(panel, name):
    folder = os.environ.get("DEEPMULTIMODALREG_SCREENSHOTS")
    if folder:
        slicer.app.processEvents()
        panel.parent.grab().save(os.path.join(folder, f"slicer-{name}.png"))


def ids():
    return {slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())}


def check_opening_imports_no_torch():
    assert "torch" not in sys.modules, "torch was imported before anything was applied"
    panel = opened()
    assert "torch" not in sys.modules, "opening the panel imported torch"
    assert not panel.ui.applyButton.enabled and "Choose" in panel.ui.applyButton.text
    pictured(panel, "empty")


def check_wrong_input_is_said_before_anything_runs():
    panel = opened()
    fixed, moving = choose(panel)
    panel.ui.movingSelector.setCurrentNode(fixed)
    assert not panel.ui.applyButton.enabled and "two different" in panel.ui.applyButton.text
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    panel.ui.movingSelector.setCurrentNode(empty)
    assert not panel.ui.applyButton.enabled and "hollow" in panel.ui.applyButton.text
    panel.ui.movingSelector.setCurrentNode(moving)
    panel.ui.volumeSelector.setCurrentNode(moving)
    panel.ui.applyButton.click()
    assert not panel.run.running and "inputs are never changed" in panel.ui.statusLabel.text


def check_missing_torch_is_said():
    from DeepMultiModalRegLib.panel import packages

    panel = opened()
    choose(panel)
    installed = packages.installed
    packages.installed = lambda package: package != "torch"
    try:
        panel.refresh()
        assert panel.ui.setupLabel.text == "PyTorch not installed." and not panel.ui.applyButton.enabled
        pictured(panel, "setup")
    finally:
        packages.installed = installed
    panel.refresh()
    assert panel.ui.applyButton.enabled


def check_apply_makes_the_outputs_shows_them_and_leaves_the_inputs():
    panel = opened()
    fixed, moving = choose(panel)
    assert panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip
    panel.ui.translatedCheckBox.checked = True
    before = slicer.util.arrayFromVolume(moving).copy()
    pictured(panel, "ready")
    longest = apply(panel)
    assert panel.run.registration.error is None, str(panel.run.registration.error)
    assert longest < 0.2, f"the window was away for {longest:.2f} s"
    assert np.array_equal(slicer.util.arrayFromVolume(moving), before) and moving.GetParentTransformNode() is None
    registered = panel.ui.volumeSelector.currentNode()
    target = slicer.util.arrayFromVolume(fixed).astype(float)
    now, then = slicer.util.arrayFromVolume(registered).astype(float), before.astype(float)
    assert abs(now - target).mean() < 0.5 * abs(then - target).mean()
    assert panel.ui.transformSelector.currentNode().IsA("vtkMRMLTransformNode")
    assert "before" in panel.ui.qualityLabel.text
    pictured(panel, "done")
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    seen = [(v.GetBackgroundVolumeID(), v.GetForegroundVolumeID(), v.GetCompositing()) for v in views]
    assert all(s[:2] == (fixed.GetID(), registered.GetID()) for s in seen)
    for name in MODES:
        button = getattr(panel.ui, f"{name}Button")
        if button.enabled:
            button.click()
            slicer.app.processEvents()
            assert panel.views.comparison.mode == name and panel.views.comparison.shown
            panel.ui.beforeButton.click()
            panel.ui.afterButton.click()
    panel.exit()
    slicer.app.processEvents()
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[: len(seen)]
    assert [(v.GetBackgroundVolumeID(), v.GetForegroundVolumeID(), v.GetCompositing()) for v in views] == seen


def check_the_transform_goes_on_what_is_ticked_and_off_again():
    panel = opened()
    choose(panel)
    apply(panel)
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint(1.0, 2.0, 3.0)
    panel.ui.transferSelector.check(points)
    panel.ui.transferButton.click()
    assert points.GetParentTransformNode() is panel.parameters.shownTransform
    panel.ui.transferUndoButton.click()
    assert points.GetParentTransformNode() is None
    panel.ui.jacobianButton.click()
    assert "factor" in panel.ui.qualityLabel.text or "bends nothing" in panel.ui.statusLabel.text


def check_cancel_leaves_the_scene_equal():
    panel = opened()
    choose(panel)
    before = ids()
    for moment in (0.0, 0.3, 1.0, 2.0):
        panel.ui.applyButton.click()
        end = time.monotonic() + moment
        wait(lambda end=end: time.monotonic() > end or not panel.run.running)
        if not panel.run.running:
            return  # a machine so fast that nothing is left to cancel
        began = time.monotonic()
        panel.ui.cancelButton.click()
        assert time.monotonic() - began < 2.0 and ids() == before
        assert not panel.run.running and "nothing was changed" in panel.ui.statusLabel.text


def check_a_killed_worker_is_a_sentence():
    panel = opened()
    choose(panel)
    before = ids()
    panel.ui.applyButton.click()
    run = panel.run.registration
    wait(lambda: run.process is not None)
    os.kill(run.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    wait(lambda: not panel.run.running)
    assert run.error is not None and "Nothing was changed" in panel.ui.statusLabel.text and ids() == before
    pictured(panel, "killed")


def check_closing_the_scene_during_a_run():
    panel = opened()
    choose(panel)
    panel.ui.applyButton.click()
    wait(lambda: panel.run.registration.fraction > 0 or not panel.run.running)
    slicer.mrmlScene.Clear(0)
    assert not panel.run.running


def check_settings_persist_in_the_scene():
    panel = opened()
    fixed, _moving = choose(panel)
    panel.ui.refineSpinBox.value = 7
    panel.ui.inverseCheckBox.checked = True
    further = ball("further")
    panel.ui.transferSelector.check(further)
    path = slicer.app.temporaryPath + "/deepmultimodalreg-test.mrb"
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(path)
    panel.exit()
    panel.enter()
    assert panel.ui.refineSpinBox.value == 7 and panel.ui.inverseCheckBox.checked
    assert panel.ui.fixedSelector.currentNode().GetName() == "T1"
    assert [node.GetName() for node in panel.ui.transferSelector.checkedNodes()] == ["further"]


def check_the_sample_pair_is_offered():
    import DeepMultiModalReg

    DeepMultiModalReg.registerSampleData()
    names = [source.sampleName for source in slicer.modules.sampleDataSources["DeepMultiModalReg"]]
    assert "DeepMultiModalRegT1T2" in names


def check_the_modules_own_tests():
    import DeepMultiModalReg

    DeepMultiModalReg.DeepMultiModalRegTest().runTest()


def main():
    for name, function in list(globals().items()):
        if not name.startswith("check_"):
            continue
        try:
            function()
            print("passed:", name[6:].replace("_", " "))
        except Exception:
            FAILED.append(name)
            print("FAILED:", name[6:].replace("_", " "))
            traceback.print_exc()
    print(f"{len(FAILED)} failed")
    slicer.util.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()
