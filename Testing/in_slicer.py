"""The panel's flows inside a real Slicer, headless; ends with an exit code (0: all passed).

    Slicer --no-splash --no-main-window --testing --additional-module-paths DeepMultiModalReg \\
        --python-script Testing/in_slicer.py

Needs the extension PyTorch with torch installed, PyYAML, and a model (models/, or DEEPMULTIMODALREG_MODELS).
What the tests outside Slicer cannot prove is checked here: the real widgets, the real parameter node, PythonSlicer as
the child, and the module's own Test class.
"""

import sys
import time
import traceback

import numpy as np
import qt
import slicer

FAILED = []


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


def wait(until, seconds=300.0):
    """The event loop, until then; the longest that it was away."""
    longest, end, last = 0.0, time.monotonic() + seconds, time.monotonic()
    while not until():
        assert time.monotonic() < end, "it took too long"
        slicer.app.processEvents(qt.QEventLoop.AllEvents, 20)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        time.sleep(0.002)
    return longest


def ids():
    return {slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())}


def check_opening_imports_no_torch():
    assert "torch" not in sys.modules, "torch was imported before anything was applied"
    panel = opened()
    assert "torch" not in sys.modules, "opening the panel imported torch"
    assert not panel.ui.applyButton.enabled and "Choose" in panel.ui.applyButton.text


def check_apply_makes_the_outputs_and_leaves_the_inputs():
    panel = opened()
    fixed, moving = choose(panel)
    assert panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip
    before = slicer.util.arrayFromVolume(moving).copy()
    panel.ui.applyButton.click()
    longest = wait(lambda: not panel.run.running)
    assert panel.run.registration.error is None, str(panel.run.registration.error)
    assert longest < 0.2, f"the window was away for {longest:.2f} s"
    assert np.array_equal(slicer.util.arrayFromVolume(moving), before) and moving.GetParentTransformNode() is None
    registered = panel.ui.volumeSelector.currentNode()
    target = slicer.util.arrayFromVolume(fixed).astype(float)
    now, then = slicer.util.arrayFromVolume(registered).astype(float), before.astype(float)
    assert abs(now - target).mean() < 0.5 * abs(then - target).mean()
    assert panel.ui.transformSelector.currentNode().IsA("vtkMRMLTransformNode")
    for name in ("blend", "redCyan", "checkerboard", "sideBySide", "grid"):
        getattr(panel.ui, f"{name}Button").click()
        assert panel.views.comparison.mode == name
    panel.ui.restoreButton.click()
    panel.exit()


def check_cancel_leaves_the_scene_equal():
    panel = opened()
    choose(panel)
    before = ids()
    for moment in (0.0, 0.3, 1.0, 2.0):
        panel.ui.applyButton.click()
        end = time.monotonic() + moment
        wait(lambda end=end: time.monotonic() > end or not panel.run.running)
        began = time.monotonic()
        panel.run.cancel()
        assert time.monotonic() - began < 2.0 and ids() == before


def check_closing_the_scene_during_a_run():
    panel = opened()
    choose(panel)
    panel.ui.applyButton.click()
    wait(lambda: panel.run.registration.fraction > 0 or not panel.run.running)
    slicer.mrmlScene.Clear(0)
    assert not panel.run.running


def check_settings_persist_in_the_scene():
    panel = opened()
    choose(panel)
    panel.ui.refineSpinBox.value = 7
    panel.ui.inverseCheckBox.checked = True
    path = slicer.app.temporaryPath + "/deepmultimodalreg-test.mrb"
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(path)
    panel.exit()
    panel.enter()
    assert panel.ui.refineSpinBox.value == 7 and panel.ui.inverseCheckBox.checked
    assert panel.ui.fixedSelector.currentNode().GetName() == "T1"


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
