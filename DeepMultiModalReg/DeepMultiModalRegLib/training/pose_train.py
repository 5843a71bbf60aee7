"""Trains the network that finds poses, from its configuration: the branch of `train` for 'equivariant_volume'."""

from __future__ import annotations

from pathlib import Path

import torch

from ..methods import build
from .export import export
from .pose_sampler import PoseRanges, PoseSampler
from .pose_subjects import load_pose_subjects
from .pose_trainer import PoseTrainer
from .run_folder import finished


def make_pose_trainer(settings: dict, data: Path, out: Path) -> PoseTrainer:
    """settings: a whole configuration; data: the folder `train`; out: where log and checkpoint go."""
    training = settings["training"]
    torch.manual_seed(training["seed"])
    method = build(settings["method"], settings["dimension"], settings["settings"])
    method = method.to(memory_format=torch.channels_last_3d)
    samplers = [
        PoseSampler(load_pose_subjects(settings["sources"], held_out, data), settings["shares"], method)
        for held_out in (False, True)
    ]
    ranges = PoseRanges(**settings["ranges"])
    return PoseTrainer(method, *samplers, training, settings["weights"], ranges, out)


def train_poses(settings: dict, data: Path, out: Path, resume: bool, seconds: float | None) -> int:
    """As `train.main`: runs a configuration, and leaves the model in `out`/model/NAME when it is through."""
    trainer = make_pose_trainer(settings, data, out)
    return finished(
        trainer, resume, seconds, lambda: export(settings, trainer.averaged, trainer.seconds, out / "model")
    )
