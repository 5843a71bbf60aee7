"""Plays a script as `Slicer --testing --no-main-window --python-script` would, on slicer-core with the stand-ins for
Slicer's window: python -m harness.play SCRIPT. What the script gives slicer.util.exit is the exit code."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import tempfile
import types
from contextlib import chdir
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "DeepMultiModalReg"))

import pytest  # noqa: E402
import slicer  # noqa: E402
import slicer.util  # noqa: E402

from DeepMultiModalRegLib.mrml.bare_scene import BareScene  # noqa: E402

from . import application, pythonqt  # noqa: E402


class SampleDataLogic:
    """SampleData.SampleDataLogic: sources by category."""

    @staticmethod
    def registerCustomSampleDataSource(category, **facts) -> None:
        slicer.modules.sampleDataSources.setdefault(category, []).append(types.SimpleNamespace(**facts))


def main(script: str) -> None:
    patch = pytest.MonkeyPatch()
    bare = BareScene()
    bare.add_views()
    app = application.activate(patch)
    app.testingEnabled = lambda: True
    app.temporaryPath = tempfile.mkdtemp(prefix="deepmultimodalreg-played-")
    module = application.load_module(patch)
    panels: list = []

    def new_widget(name: str):
        assert name == "DeepMultiModalReg"
        panels.append(application.open_panel(module))
        return panels[-1]

    def end(code: int) -> None:
        for panel in panels:
            panel.cleanup()
        for error in pythonqt.ERRORS:
            print("Python error:", error)
        shutil.rmtree(app.temporaryPath, ignore_errors=True)
        sys.stdout.flush()
        os._exit(code or bool(pythonqt.ERRORS))  # as --testing: an error in Python is a failure

    def save(path: str) -> bool:
        with chdir(os.curdir):  # packing leaves the process in a folder that it has deleted
            return bool(bare.scene.WriteToMRB(path))

    def load(path: str) -> bool:
        with chdir(os.curdir):
            return bool(bare.scene.ReadFromMRB(path))

    slicer.util.getNewModuleWidget, slicer.util.exit = new_widget, end
    slicer.util.saveScene, slicer.util.loadScene = save, load
    slicer.modules = types.SimpleNamespace(sampleDataSources={})
    sys.modules["SampleData"] = types.SimpleNamespace(SampleDataLogic=SampleDataLogic)
    runpy.run_path(script, run_name="__main__")
    end(1)  # it did not say how it ended


if __name__ == "__main__":
    main(sys.argv[1])
