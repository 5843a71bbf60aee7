"""Training on tiny slices, for tests of it: a trainer, how much it learns, and that a stop changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from slices import pear

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.training.equivariant import EquivariantObjective
from DeepMultiModalRegLib.training.equivariant_run import EquivariantTrainer


def slice_trainer(out: Path, settings: dict, weights: dict, **stage) -> EquivariantTrainer:
    """Of one stage on three anatomies; stage: steps at least, and what is to differ."""
    torch.manual_seed(0)
    method = build("equivariant", 2, settings)
    plan = {"network": "only", "rate": 3e-3, "batch": 12, "pose": "D0", **stage}
    slices = torch.cat([torch.cat([pear(s), 0.8 * pear(s)], 1) for s in (-0.5, 0.0, 0.5)])
    return EquivariantTrainer(method, slices, pear(), [plan], {"only": weights}, 0, out, bfloat16=False)


def before_and_after(run: EquivariantTrainer, objective: EquivariantObjective, term: str) -> tuple[float, float]:
    """A term of the objective on the same poses of the run's slices, before it is run and after."""
    images = run.images.repeat(10, 1, 1, 1)

    def value() -> float:
        with torch.no_grad():
            return objective.terms(images, torch.Generator().manual_seed(5))[term].item()

    before = value()
    run.run()
    return before, value()


def assert_a_stop_changes_nothing(make: Callable[[str], EquivariantTrainer]) -> None:
    """make(name): the same trainer in a folder of that name. Stopped after a step, it ends at the same weights."""
    straight = make("a")
    assert straight.run()
    stopped = make("b")
    assert not stopped.run(seconds=0)
    again = make("b")
    again.resume()
    assert again.step == 1 and again.run()
    for a, b in zip(straight.method.parameters(), again.method.parameters(), strict=True):
        assert torch.equal(a, b)
