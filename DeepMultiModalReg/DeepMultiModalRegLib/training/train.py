"""Trains a model from a configuration: `deepmultimodalreg train --config NAME --out FOLDER`."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path

import torch
import yaml

from ..core import InputError
from ..engine.schema import violations
from ..methods import build
from .deformation import Ranges
from .disentangled import DisentangledObjective
from .equivariant_train import train_slices
from .export import export
from .hierarchical import HierarchicalObjective
from .initial import begin
from .innreg import InnregObjective
from .nemar import NemarObjective
from .pairs import PairSampler, Recipe
from .pose_train import train_poses
from .run_folder import CHECKPOINT, finished
from .stacks import load_stacks
from .subjects import load_subjects
from .trainer import Trainer

OBJECTIVES = {
    "disentangled": DisentangledObjective,
    "hierarchical": HierarchicalObjective,
    "innreg": InnregObjective,
    "nemar": NemarObjective,
}
CONFIGS = Path(__file__).parent / "configs"
# networks that look at one image are trained in their own way
SCHEMAS = {"equivariant": "slices.schema.json", "equivariant_volume": "pose.schema.json"}


def read_config(config: str | Path) -> dict:
    """The settings in a YAML file, or in the one of that name among the shipped ones. Raises InputError."""
    path = Path(config)
    if not path.exists():
        path = CONFIGS / f"{config}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise InputError(f"There is no training configuration '{config}'; give a YAML file or one of {known}.")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    check_config(settings, str(path))
    return settings


def check_config(settings: object, source: str) -> None:
    """Raises InputError naming what in the settings breaks their schema."""
    kind = settings.get("method") if isinstance(settings, dict) else None
    schema = json.loads((CONFIGS / SCHEMAS.get(str(kind), "training.schema.json")).read_text(encoding="utf-8"))
    if found := violations(settings, schema):
        raise InputError(
            f"The training configuration {source} is not valid: {'; '.join(found[:5])}. Correct it and try again."
        )


def data_folder() -> Path:
    """The folder `train` of the training data: DEEPMULTIMODALREG_DATA, else ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[3].parent / "shared" / "data"
    folder = Path(os.environ.get("DEEPMULTIMODALREG_DATA", beside)) / "train"
    if not folder.is_dir():
        raise InputError(f"No training data in {folder}; set DEEPMULTIMODALREG_DATA to the folder that holds train/.")
    return folder


def make_sampler(config: dict, part: str, data: Path) -> PairSampler:
    """The pairs to train on (part "sources") or to choose by (part "held_out")."""
    recipes = config["recipes" if part == "sources" else "held_out_recipes"]
    known = {f.name for f in fields(Recipe)}
    if unknown := {key for r in recipes for key in r} - known:
        raise InputError(f"A recipe has the unknown settings {sorted(unknown)}; it may have {sorted(known)}.")
    loaded = [(load_stacks if "slices" in source else load_subjects)(source, data) for source in config[part]]
    tuples = [{k: tuple(v) if isinstance(v, list) else v for k, v in r.items()} for r in recipes]
    return PairSampler(
        [subject for several in loaded for subject in several],
        [Recipe(**r) for r in tuples],
        config["working"]["spacing"],
        Ranges(**config["pose"]),
        Ranges(**config["motion"]),
    )


def make_trainer(
    settings: dict, sampler: PairSampler, held_out: PairSampler, out: Path, fresh: bool = True
) -> Trainer:
    """A new method's trainer; fresh: it begins with the networks that the settings name under `initial`."""
    training = settings["training"]
    torch.manual_seed(training["seed"])
    method = build(settings["method"], settings["dimension"], settings["settings"])
    for network in settings.get("initial", []) if fresh else []:
        begin(method, network)
    objective = OBJECTIVES[settings["method"]](method, settings["weights"])
    return Trainer(method, objective, sampler, held_out, training, out)


def main(config: str | Path, out: str | Path, resume: bool = False, seconds: float | None = None) -> int:
    """Runs a configuration and, when it is through, leaves the model in `out`/model/NAME. Returns an exit code."""
    settings = read_config(config)
    training = settings["training"]
    torch.set_num_threads(training.get("threads") or torch.get_num_threads())
    if settings["method"] == "equivariant":
        return train_slices(settings, data_folder(), Path(out), resume, seconds)
    if settings["method"] == "equivariant_volume":
        return train_poses(settings, data_folder(), Path(out), resume, seconds)
    data = data_folder()
    samplers = [make_sampler(settings, part, data) for part in ("sources", "held_out")]
    begun = resume and (Path(out) / CHECKPOINT).exists()
    trainer = make_trainer(settings, *samplers, Path(out), fresh=not begun)

    def exported() -> Path:
        return export(settings, trainer.method, trainer.seconds, Path(out) / "model", device=str(trainer.device))

    return finished(trainer, resume, seconds, exported)
