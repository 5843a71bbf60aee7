"""The script for a real Slicer, and the module's own Test class in it, played on slicer-core."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)


SCRIPT = ROOT / "Testing" / "in_slicer.py"


def play(script) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "harness.play", str(script)], cwd=ROOT / "Testing", capture_output=True, text=True,
        timeout=900, env={k: v for k, v in os.environ.items() if k != "DEEPMULTIMODALREG_SCREENSHOTS"},
    )  # fmt: skip


def test_the_script_for_slicer_passes_here() -> None:
    done = play(SCRIPT)
    lines = done.stdout.splitlines()
    checks = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.startswith("def check_")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in lines and sum(line.startswith("passed: ") for line in lines) == len(checks) > 10
    assert "Test passed" in lines  # the module's own Test class ran to its end


def test_a_script_that_fails_ends_with_a_code(tmp_path) -> None:
    head, tail = SCRIPT.read_text(encoding="utf-8").replace("__file__", repr(str(SCRIPT))).split("def check_", 1)
    check = "def check_that_fails():\n    assert opened().ui.applyButton.enabled\n\n\n"
    (tmp_path / "broken.py").write_text(head + check + tail[tail.index("def main") :])
    done = play(tmp_path / "broken.py")
    assert done.returncode == 1 and "FAILED: that fails" in done.stdout and "1 failed" in done.stdout
