"""Training batches: the same for a step, whoever draws it and wherever a run begins."""

from __future__ import annotations

import torch
from training.test_pairs import sampler

from DeepMultiModalRegLib.training.draws import Draws, step_generator


def draws(stage: int = 0) -> Draws:
    return Draws(sampler((32, 32)), seed=3, stage=stage, batch=2, labels=3, both_ways=False)


def test_worker_processes_draw_what_this_one_draws():
    for own, theirs in zip(draws().steps(0, 4, 0), draws().steps(0, 4, 2), strict=True):
        assert torch.equal(own.fixed, theirs.fixed) and torch.equal(own.truth, theirs.truth)


def test_a_run_that_begins_later_draws_the_same_steps():
    whole = list(draws().steps(0, 5, 0))
    rest = list(draws().steps(3, 5, 0))
    assert all(torch.equal(a.moving, b.moving) for a, b in zip(whole[3:], rest, strict=True))


def test_steps_and_stages_differ():
    batches = [*draws().steps(0, 2, 0), *draws(stage=1).steps(0, 1, 0)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(batches[a].fixed, batches[b].fixed)
    assert step_generator(0, 1, 0).initial_seed() != step_generator(1, 0, 0).initial_seed()
