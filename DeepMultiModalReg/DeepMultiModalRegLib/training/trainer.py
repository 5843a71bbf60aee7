"""The training loop: stages one after the other, checkpoints, validation, a log and pictures."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path

import torch

from ..engine.device import Precision, choose_device
from ..methods.base import Method
from .batch import Batch
from .draws import Draws, step_generator
from .pairs import PairSampler
from .pictures import pair_sheet
from .preservation import preservation
from .run_folder import append_log, write_checkpoint
from .validation import Score, validate, validation_pairs


class Trainer:
    """Trains a method's stages on drawn pairs and leaves `checkpoint.pt`, `log.jsonl` and pictures in `out`.

    settings: the `training` part of a configuration: seed, batch, labels, stages [{network, steps, horizon, rate,
    batch, coarser, shape, pose, motion, same, both_ways}], validate_every, validate_each, device, workers. A run that
    is stopped goes on from its checkpoint with `resume`, drawing the pairs it would have drawn.
    """

    def __init__(
        self, method: Method, objective, sampler: PairSampler, held_out: PairSampler, settings: dict, out: Path
    ) -> None:
        self.precision = Precision.best(choose_device(settings.get("device", "auto")))
        if not settings.get("bfloat16", True):
            self.precision = self.precision.full()
        self.device = self.precision.device
        self.method, self.objective, self.sampler = method.to(self.device), objective, sampler
        self.critic = getattr(objective, "critic", None)  # of the methods that train against one
        if self.critic is not None:
            self.critic.to(self.device)
        self.settings, self.out = settings, out
        self.pairs = [pair.to(self.device) for pair in validation_pairs(held_out, settings["validate_each"])]
        self.stage_index, self.step, self.seconds = 0, 0, 0.0
        self.optimizer_state: dict | None = None
        self.scores: dict[str, dict[str, Score]] = {}
        out.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.method.load_state_dict(state["method"])
        self.optimizer_state = state["optimizer"]
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"][0])
            self.objective.critic_optimizer.load_state_dict(state["critic"][1])
        self.stage_index, self.step, self.seconds = state["stage_index"], state["step"], state["seconds"]

    def run(self, seconds: float | None = None) -> bool:
        """Trains until every stage has its steps (True) or `seconds` have passed (False, with a checkpoint)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        if self.stage_index == 0 and self.step == 0:
            self._log({"validation": "start", "scores": self._score("start", identity=True)})
        while self.stage_index < len(self.settings["stages"]):
            if not self._train(self.settings["stages"][self.stage_index], deadline):
                return False
            self.stage_index, self.step, self.optimizer_state = self.stage_index + 1, 0, None
            self._checkpoint(None)
        return True

    def _train(self, plan: dict, deadline: float | None) -> bool:
        stage = plan["network"]
        self.method.requires_grad_(False)
        network = self.objective.trained(stage).requires_grad_(True)
        optimizer = torch.optim.Adam(network.parameters(), lr=plan["rate"])
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        running: dict[str, float] = {}
        changes = {key: plan[key] for key in ("coarser", "shape", "pose", "motion", "same", "images") if key in plan}
        sampler = self.sampler.on(**changes) if changes else self.sampler
        drawn = Draws(
            sampler, self.settings["seed"], self.stage_index, plan.get("batch", self.settings["batch"]),
            self.settings["labels"], plan.get("both_ways", False),
        ).steps(self.step, plan["steps"], self.settings.get("workers", 0))  # fmt: skip
        while self.step < plan["steps"]:
            begun = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = rate(plan["rate"], self.step, plan.get("horizon", plan["steps"]))
            self.objective.share = self.step / plan["steps"]  # of the stage: for what is scheduled
            values = self._step(stage, next(drawn).to(self.device), network, optimizer)
            self.step += 1
            self.seconds += time.monotonic() - begun
            for name, value in values.items():
                running[name] = value if name not in running else 0.98 * running[name] + 0.02 * value
            if self.step % 100 == 0:
                self._log({"stage": stage, "step": self.step, "seconds": round(self.seconds, 1), **_rounded(running)})
            if self.step % self.settings["validate_every"] == 0 or self.step == plan["steps"]:
                self._log({"validation": stage, "step": self.step, "scores": self._score(stage), **self._kept()})
                self._checkpoint(optimizer)
            if deadline is not None and time.monotonic() > deadline:
                self._checkpoint(optimizer)
                return False
        return True

    def _step(self, stage: str, batch: Batch, network, optimizer) -> dict[str, float]:
        generator = step_generator(self.settings["seed"], self.stage_index, self.step, self.device)
        with self.precision.autocast():
            terms = self.objective.terms(stage, batch, generator)
        loss = self.objective.loss(stage, terms)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if torch.isfinite(norm):  # one bad pair must not end a night's run
            optimizer.step()
        return {"loss": loss.item(), "gradient": norm.item(), **{k: v.item() for k, v in terms.items()}}

    def _score(self, stage: str, **options) -> dict[str, dict[str, float]]:
        number = {"g1": 1, "g1_last": 1, "coarse": 1}.get(stage)
        if number is not None:
            options["stages"] = number
        self.method.eval()
        with self.precision.autocast():
            scores = validate(self.method, self.pairs, self.sampler.spacing, **options)
            if not options.get("identity"):
                pair_sheet(self.method, self.pairs, self.out / f"{self.stage_index}-{stage}-{self.step:06d}.png")
        self.method.train()
        self.scores[stage] = scores
        return {kind: _rounded(asdict(score)) for kind, score in scores.items()}

    def _kept(self) -> dict[str, dict[str, float]]:
        """How far the translator leaves geometry alone, of an objective that names one (training.preservation)."""
        translate = getattr(self.objective, "translator", None)
        if translate is None:
            return {}
        with self.precision.autocast():
            return {"translator": _rounded(preservation(translate, self.pairs, self.sampler.spacing))}

    def _checkpoint(self, optimizer) -> None:
        state = {
            "method": self.method.state_dict(),
            "optimizer": None if optimizer is None else optimizer.state_dict(),
            "stage_index": self.stage_index,
            "step": self.step,
            "seconds": self.seconds,
        }
        if self.critic is not None:
            state["critic"] = [self.critic.state_dict(), self.objective.critic_optimizer.state_dict()]
        write_checkpoint(state, self.out)

    def _log(self, row: dict) -> None:
        append_log(row, self.out)


def rate(highest: float, step: int, steps: int, warm_up: int = 100) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < warm_up:
        return highest * (step + 1) / warm_up
    return highest * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def _rounded(values: dict) -> dict:
    return {name: float(f"{value:.4g}") for name, value in values.items()}
