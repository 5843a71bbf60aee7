"""What opening the panel must not do, in a process of its own: the library is loaded there by nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)
pytest.importorskip("slicer")

CODE = f"""
import builtins, sys, socket, time
sys.path[:0] = [{str(ROOT / "Testing")!r}, {str(ROOT / "DeepMultiModalReg")!r}]
import slicer, pytest
from harness import application, pythonqt

plain = builtins.__import__

def watched(name, *rest, **more):
    if name.split(".")[0] in ("torch", "SimpleITK", "sitkUtils", "PyTorchUtils"):
        raise AssertionError("the panel imported " + name)
    return plain(name, *rest, **more)

def refused(*_):
    raise AssertionError("the panel opened a socket")

slicer.mrmlScene = slicer.vtkMRMLScene()
patch = pytest.MonkeyPatch()
application.activate(patch)
builtins.__import__ = watched
socket.socket.connect = socket.socket.bind = socket.create_connection = refused
began = time.process_time()
panel = application.open_panel(application.load_module(patch))
print("seconds", time.process_time() - began)
print("loaded", sorted({{"torch", "SimpleITK"}} & set(sys.modules)))
print("errors", pythonqt.ERRORS)
print("apply", panel.ui.applyButton.text)
panel.cleanup()
import os
sys.stdout.flush()
os._exit(0)
"""


def test_opening_the_panel_imports_no_torch_opens_no_socket_and_takes_less_than_a_second() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert said["loaded"] == "[]" and said["errors"] == "[]"
    assert said["apply"] == "Choose a fixed and a moving volume"
    assert float(said["seconds"]) < 1.0  # of this process's own work
