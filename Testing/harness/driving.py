"""Hands for tests: choosing, waiting with the event loop running, pressing Apply, screenshots."""

from __future__ import annotations

import os
import time
from pathlib import Path

import slicer
from PySide6 import QtWidgets

from .pairs import ball
from .small_png import save_small
from .watch import Watch


def choose(panel, fixed=None, moving=None):
    fixed, moving = fixed or ball("T1"), moving or ball("T2", (3.0, -2.0, 1.0))
    panel.ui.fixedSelector.setCurrentNode(fixed)
    panel.ui.movingSelector.setCurrentNode(moving)
    return fixed, moving


def wait(panel, until, seconds: float = 30.0, watch: Watch | None = None) -> float:
    """Runs the event loop until then; the longest that it was away, in seconds (see harness.watch)."""
    watch, end = watch or Watch(), time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, panel.ui.statusLabel.text
        with watch:
            slicer.app.processEvents()
        time.sleep(0.005)
    return watch.longest


def apply(panel, seconds: float = 30.0) -> float:
    """Presses Apply and waits for the end; the longest that the window was away, the press included."""
    watch = Watch()
    with watch:
        panel.ui.applyButton.click()
    assert panel.run.running, panel.ui.statusLabel.text
    return wait(panel, lambda: not panel.run.running, seconds, watch)


def pictured(panel, name: str, tmp_path: Path, width: int = 460) -> None:
    """A screenshot: into the folder that the environment names (for the README), else a temporary one."""
    parent = panel.parent
    for _ in range(3):  # a label that wraps says how high it is when it knows how wide it is
        slicer.app.processEvents()
        layout = QtWidgets.QWidget.layout(parent)
        parent.resize(width, max(layout.totalHeightForWidth(width), QtWidgets.QWidget.sizeHint(parent).height()))
    slicer.app.processEvents()
    path = Path(os.environ.get("DEEPMULTIMODALREG_SCREENSHOTS", tmp_path)) / f"panel-{name}.png"
    save_small(parent.grab().toImage(), path)
    assert path.stat().st_size > 3000
