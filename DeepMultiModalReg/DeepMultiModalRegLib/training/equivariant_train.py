"""Trains the equivariant method in 2D from its configuration: slices, template, stages, model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..methods import build
from ..methods.equivariant import Equivariant
from .equivariant_run import EquivariantTrainer
from .equivariant_slices import Slices, make_slices, real_slices, template
from .export import export
from .run_folder import finished

TRAINING_SEED, HELD_OUT_SEED = 1, 2  # of the anatomies, the same for every row of a table


@dataclass
class SliceSet:
    """references: (2, 1, *shape), the template as a whole head and its brain alone; training, held_out: Slices; real:
    (P, *shape), slices of patients as they were found."""

    references: Tensor
    training: Slices
    held_out: Slices
    real: Tensor | None = None


def prepare(config: dict, data: Path, many: bool = False) -> SliceSet:
    """All slices of a configuration (half a minute); the same each time. many: with as many training anatomies of each
    subject as its recipe says by that word (two minutes)."""
    spacing, shape = config["working"]["spacing"], tuple(config["settings"]["shape"])
    average = config["template"]
    references, frame = template(average, data, shape, spacing, average["height"])
    parts = [
        make_slices(_numbered(config[recipes], many), config[part], data, frame, seed)
        for recipes, part, seed in (
            ("recipes", "sources", TRAINING_SEED),
            ("held_out_recipes", "held_out", HELD_OUT_SEED),
        )
    ]
    real = real_slices(config["real"], data, references[0]) if many and "real" in config else None
    return SliceSet(references, *parts, real)


def _numbered(recipes: list[dict], many: bool) -> list[dict]:
    return [recipe | {"each": recipe["many"]} if many and "many" in recipe else recipe for recipe in recipes]


def trainer(
    config: dict, slices: SliceSet, stages: list[dict], weights: dict, out: Path, begin: dict | None = None
) -> EquivariantTrainer:
    """A new method's trainer; begin: weights to begin with."""
    training = config["training"]
    torch.manual_seed(training["seed"])
    method = build(config["method"], config["dimension"], config["settings"])
    assert isinstance(method, Equivariant)
    if begin is not None:
        method.load_state_dict(begin)
    return EquivariantTrainer(
        method, slices.training.images, slices.references, stages, weights, training["seed"], out,
        training.get("bfloat16", True), slices.real,
    )  # fmt: skip


def train_slices(config: dict, data: Path, out: Path, resume: bool, seconds: float | None) -> int:
    """Runs a configuration and, when it is through, leaves the model in `out`/model/NAME. Returns an exit code."""
    run = trainer(config, prepare(config, data, many=True), config["training"]["stages"], config["weights"], out)
    return finished(run, resume, seconds, lambda: export(config, run.method, run.seconds, out / "model"))
