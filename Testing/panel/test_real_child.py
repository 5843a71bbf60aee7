"""The panel with its real child process on the bundled pair: Cancel at random moments of its whole life, and every way
in which it can die."""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import pytest
import slicer

pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6 cannot be loaded (requirements/test.txt)", exc_type=ImportError
)
if not sys.platform.startswith("linux"):
    pytest.skip("processes are looked up in /proc", allow_module_level=True)

from conftest import ROOT  # noqa: E402
from harness.driving import choose, wait  # noqa: E402
from harness.pairs import session_of, state  # noqa: E402

from DeepMultiModalRegLib.panel import process  # noqa: E402
from DeepMultiModalRegLib.panel.steps import STEPS  # noqa: E402

SAMPLE = ROOT / "Resources" / "SampleData"
CHILD = process.child_command
CANCELS = 20
# little more memory than the child has when it begins; torch and NumPy then ask for more
STARVED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import DeepMultiModalRegLib.engine, SimpleITK
with open("/proc/self/status") as status:
    size = next(int(line.split()[1]) for line in status if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + (40 << 20), resource.RLIM_INFINITY))
from DeepMultiModalRegLib.engine.worker import main
sys.exit(main(sys.argv[2]))
"""


@pytest.fixture
def ready(panel, headless, monkeypatch):
    """The panel with the bundled pair chosen, and the real child."""
    monkeypatch.setattr(process, "child_command", CHILD)
    choose(
        panel, headless.load_volume(SAMPLE / "fixed_t1.nii.gz", "T1"),
        headless.load_volume(SAMPLE / "moving_t2.nii.gz", "T2"),
    )  # fmt: skip
    panel.parameters.model = "tiny-t1t2-3d"
    panel.parameters.wantTranslated = True
    slicer.app.processEvents()
    return panel


def whole_run(panel) -> dict[str, float]:
    """Runs to the end; step to the seconds that it took."""
    marks = []
    panel.ui.applyButton.click()
    run = panel.run.registration

    def over() -> bool:
        if not marks or marks[-1][0] != run.step:
            marks.append((run.step, time.monotonic()))
        return not panel.run.running

    wait(panel, over, 300)
    assert run.error is None, str(run.error)
    ends = [began for _, began in marks[1:]] + [time.monotonic()]
    return {step: end - began for (step, began), end in zip(marks, ends, strict=True)}


def test_cancel_at_twenty_random_moments_of_the_childs_life_leaves_nothing(ready, temporary_folder) -> None:
    panel = ready
    steps = whole_run(panel)
    order = [*dict.fromkeys([*steps, *STEPS])]
    generator, reached = random.Random(7), set()
    drawn = generator.choices(list(steps), list(steps.values()), k=CANCELS)
    for step in ["refine", *steps, *drawn][:CANCELS]:
        panel.parameters.refine = int(step == "refine")  # long: only where it is what is cancelled
        before = state(slicer.mrmlScene)
        panel.ui.applyButton.click()
        run = panel.run.registration
        wait(panel, lambda r=run, s=step: r.finished or (r.step == s or order.index(r.step) > order.index(s)), 300)
        reached.add(run.step)
        until = time.monotonic() + generator.random() * steps.get(step, 1.0)
        wait(panel, lambda r=run, u=until: r.finished or time.monotonic() > u, 300)
        if run.finished:  # faster than the first time: there is nothing to cancel any more
            assert run.error is None
            continue
        child = run.process.pid if run.process else 0
        began = time.monotonic()
        panel.ui.cancelButton.click()
        while child and session_of(child) and time.monotonic() - began < 2.0:
            time.sleep(0.01)
        assert time.monotonic() - began < 2.0 and not panel.run.running
        assert panel.ui.statusLabel.text == "Cancelled; nothing was changed." and panel.ui.applyButton.enabled
        assert state(slicer.mrmlScene) == before and list(temporary_folder.iterdir()) == []
    # a short step may be over before it is seen, so only the long one is asked for by name
    assert "refine" in reached and len(reached) >= 3 and slicer.app.boxes == []


@pytest.mark.parametrize(
    "number, words", [(signal.SIGKILL, "ran out. Close other programs"), (signal.SIGSEGV, "Choose the device CPU")]
)
def test_a_child_that_is_killed_half_way_is_a_sentence_with_cause_and_remedy(
    ready, temporary_folder, number, words
) -> None:
    before = state(slicer.mrmlScene)
    ready.ui.applyButton.click()
    run = ready.run.registration
    wait(ready, lambda: run.fraction >= 0.1, 300)
    os.kill(run.process.pid, number)
    wait(ready, lambda: run.finished, 300)
    assert words in ready.ui.statusLabel.text and words in slicer.app.boxes[-1]
    assert state(slicer.mrmlScene) == before and list(temporary_folder.iterdir()) == []
    assert ready.ui.applyButton.enabled


def test_a_child_without_memory_is_a_sentence_with_cause_and_remedy(ready, monkeypatch, temporary_folder) -> None:
    before = state(slicer.mrmlScene)
    command = [CHILD()[0], "-u", "-c", STARVED, process.LIBRARY_HOME]
    monkeypatch.setattr(process, "child_command", lambda: command)
    ready.ui.applyButton.click()
    run = ready.run.registration
    wait(ready, lambda: run.finished, 300)
    assert run.error.exit_code == 3, run.log
    assert "emory" in ready.ui.statusLabel.text and "downsample" in ready.ui.statusLabel.text
    assert state(slicer.mrmlScene) == before and list(temporary_folder.iterdir()) == []
