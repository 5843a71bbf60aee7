"""The training pairs of a stage, step by step, drawn ahead by worker processes where there are processors to spare."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from .batch import Batch, collate
from .pairs import PairSampler


class Draws(Dataset):
    """Item n is the batch of step n. Its random numbers begin from the seed, the stage and the step alone, so that it
    is the same whichever process draws it and wherever a run was stopped."""

    def __init__(self, sampler: PairSampler, seed: int, stage: int, batch: int, labels: int, both_ways: bool) -> None:
        self.sampler, self.seed, self.stage = sampler, seed, stage
        self.batch, self.labels, self.both_ways = batch, labels, both_ways

    def __getitem__(self, step: int) -> Batch:
        generator = step_generator(self.seed, self.stage, step)
        recipe = self.sampler.recipe(generator)
        pairs = [self.sampler.draw(generator, recipe)]
        while len(pairs) < self.batch:  # one lattice, any of its recipes
            pairs.append(self.sampler.draw(generator, self.sampler.recipe(generator, recipe.shape)))
        batch = collate(pairs, self.labels, generator)
        return batch.both_ways() if self.both_ways else batch

    def steps(self, first: int, end: int, workers: int) -> Iterator[Batch]:
        """The batches of steps first to end - 1; `workers` processes draw ahead, none if 0."""
        return iter(
            DataLoader(
                self,
                batch_size=None,
                sampler=range(first, end),
                num_workers=workers,
                prefetch_factor=4 if workers else None,
                worker_init_fn=_alone if workers else None,
            )
        )


def step_generator(seed: int, stage: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one step of one stage, on `device`."""
    return torch.Generator(device).manual_seed((seed * 1009 + stage) * 10_000_019 + step)


def _alone(_worker: int) -> None:
    torch.set_num_threads(1)  # as many threads as workers; more would fight
