"""The training loop of the network that finds poses: random poses without end, averaged weights, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from ..methods.equivariant_volume import EquivariantVolume
from .pose_objective import PoseObjective
from .pose_sampler import PoseRanges, PoseSampler
from .pose_validation import pose_errors, summary
from .run_folder import append_log, write_checkpoint
from .trainer import rate


class PoseTrainer:
    """Leaves `checkpoint.pt` and `log.jsonl` in `out`. The method that is validated and exported is the moving average
    of the weights, `averaged`.

    settings: the `training` part of a configuration: seed, heads, each, steps, rate, decay, bfloat16, log_every,
    validate_every, validate. A run that is stopped goes on with `resume`, drawing what it would
    have drawn.
    """

    def __init__(
        self, method: EquivariantVolume, sampler: PoseSampler, held_out: PoseSampler, settings: dict,
        weights: dict[str, float], ranges: PoseRanges, out: Path,
    ) -> None:  # fmt: skip
        self.method, self.sampler, self.settings, self.ranges, self.out = method, sampler, settings, ranges, out
        self.averaged = copy.deepcopy(method).requires_grad_(False)
        self.objective = PoseObjective(method, weights, settings["each"])
        self.optimizer = torch.optim.AdamW(method.parameters(), lr=settings["rate"], weight_decay=1e-2)
        self.generator = torch.Generator().manual_seed(settings["seed"])
        self.step, self.seconds = 0, 0.0
        drawn = torch.Generator().manual_seed(settings["seed"] + 1)
        near, wide = replace(ranges, far=0.0, upright=0.0), replace(ranges, far=0.0, upright=0.0, degrees=180.0)
        count = settings["validate"] // 8
        self.near, self.far = ([held_out.draw(8, 1, r, drawn) for _ in range(count)] for r in (near, wide))
        out.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.method.load_state_dict(state["method"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.generator.set_state(state["generator"])

    def run(self, seconds: float | None = None) -> bool:
        """Trains until the steps are done (True) or `seconds` have passed (False); with a checkpoint either way."""
        settings, running = self.settings, {}
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.step < settings["steps"]:
            begun = time.monotonic()
            for name, value in self._step().items():
                if math.isfinite(value):
                    running[name] = value if name not in running else 0.98 * running[name] + 0.02 * value
            self.step += 1
            self.seconds += time.monotonic() - begun
            if self.step % settings["log_every"] == 0:
                rounded = {name: float(f"{value:.4g}") for name, value in running.items()}
                self._log({"step": self.step, "seconds": round(self.seconds, 1), **rounded})
            if self.step % settings["validate_every"] == 0 or self.step == settings["steps"]:
                self.validate()
                self._checkpoint()
            if deadline is not None and time.monotonic() > deadline:
                self._checkpoint()
                return False
        return True

    def validate(self) -> dict:
        """Scores of the averaged weights on single looks at near poses, and on scans of any, into the log."""
        scores = {"near": summary(pose_errors(self.averaged, self.near)),
                  "any": summary(pose_errors(self.averaged, self.far, scan=True))}  # fmt: skip
        self._log({"validation": self.step, "seconds": round(self.seconds, 1), **scores})
        return scores

    def _step(self) -> dict[str, float]:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = rate(settings["rate"], self.step, settings["steps"])
        begun = time.monotonic()
        batch = self.sampler.draw(settings["heads"], settings["each"], self.ranges, self.generator)
        drawn = time.monotonic() - begun
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.get("bfloat16", True)):
            terms = self.objective.terms(batch)
        loss = self.objective.loss(terms)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), 1.0)
        if torch.isfinite(norm):  # one bad image must not end a long run
            self.optimizer.step()
        with torch.no_grad():
            keep = min(settings["decay"], (1 + self.step) / (10 + self.step))
            for mean, value in zip(self.averaged.parameters(), self.method.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        values = {name: value.item() for name, value in terms.items()}
        return {"loss": loss.item(), "gradient": norm.item(), "drawing": drawn, **values,
                "took": time.monotonic() - begun}  # fmt: skip

    def _checkpoint(self) -> None:
        state = {
            "method": self.method.state_dict(), "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds,
            "generator": self.generator.get_state(),
        }  # fmt: skip
        write_checkpoint(state, self.out)

    def _log(self, row: dict) -> None:
        append_log(row, self.out)
