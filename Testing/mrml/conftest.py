"""A real MRML scene for every test."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from DeepMultiModalRegLib.mrml.scene import HeadlessScene  # noqa: E402


@pytest.fixture
def headless() -> HeadlessScene:
    return HeadlessScene()


@pytest.fixture
def scene(headless: HeadlessScene):
    return headless.scene
