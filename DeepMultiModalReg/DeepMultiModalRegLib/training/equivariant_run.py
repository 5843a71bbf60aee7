"""Training of the equivariant method in 2D: stages, checkpoints, a log; a stopped run goes on where it was."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..methods.equivariant import Equivariant
from ..networks.posing import moved
from .equivariant import EquivariantObjective, template_poses
from .equivariant_dense import DenseObjective
from .equivariant_poses import D0, FOUND, RANGES
from .run_folder import append_log, write_checkpoint
from .trainer import rate

CHECKPOINT_SECONDS = 60.0


class EquivariantTrainer:
    """Trains a regressor through `stages` on slices (S, M, *shape) and leaves checkpoint.pt and log.jsonl in `out`.

    stages: [{network: name of its weights, steps, rate, batch (images that the network sees a step), pose, norm,
    occlusion, looks, held, mirrored, near, rivals, bend, whole, grow: steps in which the ranges grow there from D0,
    average: decay of the running average of the weights with which the stage ends, horizon: steps in which the rate
    falls to its end, if not those of the stage, real: share of slices that are real ones}]; weights: {name: {term:
    weight}}, of training/equivariant.py, and one of two words:
    "supervised": slices are seen in their true place, the template's frame; without it every one has first been given
    a small pose of its own (FOUND), the same throughout. "brought": they are first brought to the template by the
    network as it is when the stage begins: the published second step.
    """

    def __init__(
        self, method: Equivariant, slices: Tensor, references: Tensor, stages: list[dict], weights: dict, seed: int,
        out: Path, bfloat16: bool = True, real: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.method = method.to(memory_format=torch.channels_last)
        self.references, self.stages, self.weights = references, stages, weights
        self.images = slices.flatten(0, 1)[:, None]
        found = FOUND.draw(len(self.images), method.unit, torch.Generator().manual_seed(seed))
        self.found = moved(self.images, found, method.unit)
        self.real = self.images[:0] if real is None else real[:, None]
        self.out, self.bfloat16 = out, bfloat16
        self.generator = torch.Generator().manual_seed(seed)
        self.stage, self.step, self.seconds = 0, 0, 0.0
        self.optimizer_state: dict | None = None
        self.brought: Tensor | None = None  # (S, 3, 3) where each slice was found to lie
        self.average: AveragedModel | None = None
        out.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Goes on from the last checkpoint, where there is one."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.method.load_state_dict(state["method"])
        self.optimizer_state, self.brought = state["optimizer"], state["brought"]
        if state["average"] is not None:
            self._averaging(self.stages[state["stage"]]["average"]).load_state_dict(state["average"])
        self.stage, self.step, self.seconds = state["stage"], state["step"], state["seconds"]
        self.generator.set_state(state["generator"])

    def run(self, seconds: float | None = None) -> bool:
        """Trains until every stage has its steps (True) or `seconds` have passed (False, with a checkpoint)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        self.method.train()
        while self.stage < len(self.stages):
            if not self._train(self.stages[self.stage], deadline):
                return False
            if self.average is not None:
                self.method.load_state_dict(self.average.module.state_dict())
            self.stage, self.step, self.optimizer_state, self.brought = self.stage + 1, 0, None, None
            self.average = None
            self._checkpoint(None)
        self.method.eval()
        return True

    def _train(self, plan: dict, deadline: float | None) -> bool:
        weights = dict(self.weights[plan["network"]])
        known, brought = (weights.pop(word, 0) for word in ("supervised", "brought"))
        images, share = self.images if known else self.found, plan.get("real", 0.0)
        if share:
            images = torch.cat([images, self.real])
        if brought and self.brought is None:
            self.brought = template_poses(self.method, images)
        if self.brought is not None:
            images = moved(images, self.brought, self.method.unit)
        ranges, grow = RANGES[plan["pose"]], plan.get("grow", 0)
        words = ("norm", "occlusion", "looks", "held", "mirrored", "near", "rivals", "bend", "whole")
        chosen = {key: plan[key] for key in words if key in plan}
        kind = DenseObjective if self.method.dense else EquivariantObjective
        objective = kind(self.method, weights, self.references, ranges, **chosen)
        if "average" in plan and self.average is None:
            self._averaging(plan["average"])
        optimizer = torch.optim.Adam(self.method.parameters(), lr=plan["rate"], fused=True)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        each = max(1, plan["batch"] // objective.images_per_slice())
        running: dict[str, float] = {}
        saved = time.monotonic()
        while self.step < plan["steps"]:
            begun = time.process_time()
            for group in optimizer.param_groups:
                group["lr"] = rate(plan["rate"], self.step, plan.get("horizon", plan["steps"]))
            if grow:
                objective.ranges = D0.towards(ranges, self.step / grow)
            drawn = images[self._chosen(each, share)]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
                terms = objective.terms(drawn, self.generator)
            loss = objective.loss(terms)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), 1.0)
            if torch.isfinite(norm):
                optimizer.step()
                if self.average is not None:
                    self.average.update_parameters(self.method)
            self.step += 1
            self.seconds += time.process_time() - begun
            for name, value in {"loss": loss, **terms}.items():
                running[name] = value.item() if name not in running else 0.98 * running[name] + 0.02 * value.item()
            if self.step % 100 == 0:
                self._log(
                    {
                        "stage": plan["network"],
                        "step": self.step,
                        "seconds": round(self.seconds, 1),
                        **running,
                    }
                )
            late = deadline is not None and time.monotonic() > deadline
            if late or time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._checkpoint(optimizer)
                saved = time.monotonic()
            if late:
                return False
        return True

    def _chosen(self, count: int, share: float) -> Tensor:
        """Numbers of so many slices: of the anatomies, and a share of the real ones that come after them."""
        chosen = torch.randint(len(self.found), (count,), generator=self.generator)
        if not share:
            return chosen
        real = len(self.found) + torch.randint(len(self.real), (count,), generator=self.generator)
        return torch.where(torch.rand(count, generator=self.generator) < share, real, chosen)

    def _averaging(self, decay: float) -> AveragedModel:
        self.average = AveragedModel(self.method, multi_avg_fn=get_ema_multi_avg_fn(decay))
        return self.average

    def _checkpoint(self, optimizer) -> None:
        state = {
            "method": self.method.state_dict(),
            "optimizer": None if optimizer is None else optimizer.state_dict(),
            "brought": self.brought,
            "average": None if self.average is None else self.average.state_dict(),
            "stage": self.stage,
            "step": self.step,
            "seconds": self.seconds,
            "generator": self.generator.get_state(),
        }
        write_checkpoint(state, self.out)

    def _log(self, row: dict) -> None:
        short = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
        append_log(short, self.out)
