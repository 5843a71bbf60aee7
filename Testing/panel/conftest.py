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
