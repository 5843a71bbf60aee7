"""A real scene with a pair of small volumes, for every test of the panel."""

from __future__ import annotations

import tempfile

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed (requirements/demo.txt)")

from harness.pairs import ball  # noqa: E402


@pytest.fixture
def temporary_folder(tmp_path, monkeypatch):
    """Where jobs are put during a test; must be empty again afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def headless():
    from DeepMultiModalRegLib.mrml.scene import HeadlessScene

    return HeadlessScene()


@pytest.fixture
def pair(headless):
    return ball("T1"), ball("T2", (3.0, -2.0, 1.0))


@pytest.fixture
def app(monkeypatch, headless, tmp_path, temporary_folder):
    """Slicer's application around the module, two models of random weights, a child that is quickly done."""
    from fakes import write_tiny_model
    from harness import application, children, pythonqt

    from DeepMultiModalRegLib.panel import process

    write_tiny_model(tmp_path / "models", "tiny-t1t2-3d")
    write_tiny_model(tmp_path / "models", "tiny-ct-3d", modalities=["CT"])
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(process, "child_command", lambda: children.QUICK)
    headless.add_views()
    running = application.activate(monkeypatch)
    yield running
    assert pythonqt.ERRORS == []


@pytest.fixture
def panel(app, monkeypatch):
    """The module's widget, opened in that application."""
    from harness import application

    widget = application.open_panel(application.load_module(monkeypatch))
    yield widget
    widget.cleanup()
    widget.parent.close()
