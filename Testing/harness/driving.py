"""Hands for tests: choosing, waiting with the event loop running, pressing Apply, screenshots."""

from __future__ import annotations

import os
import time
from pathlib import Path

import slicer

from .pairs import ball
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


def pictured(panel, name: str, tmp_path: Path) -> None:
    """A screenshot: into the folder that the environment names (for the README), else a temporary one."""
    slicer.app.processEvents()
    panel.parent.resize(460, panel.parent.sizeHint().height())
    slicer.app.processEvents()
    folder = Path(os.environ.get("DEEPMULTIMODALREG_SCREENSHOTS", tmp_path))
    picture = panel.parent.grab()
    path = folder / f"panel-{name}.png"
    assert picture.save(str(path)) and path.stat().st_size > 3000
