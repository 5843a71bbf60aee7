"""Training an ablation's variants: each once, from its own configuration, kept in a folder of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..core import InputError
from ..io import write_text
from ..methods import build
from ..training.train import make_sampler, make_trainer
from .ablation import Ablation
from .experiment import trained

DONE = "trained.pt"
SETTINGS = "config.json"


@dataclass(frozen=True)
class Trained:
    """A variant that is through. digest: of its weights; seconds: of training, processor's where it had one alone;
    figures: of its last validation."""

    method: torch.nn.Module
    digest: str
    seconds: float
    steps: int
    figures: dict[str, float]


class VariantRuns:
    """Trains variants in `out`/NAME from the people in `data`/train, who are read once for all. make: what draws pairs
    of them, as training.train.make_sampler."""

    def __init__(
        self, ablation: Ablation, out: Path, data: Path, device: str = "auto", make: Callable = make_sampler
    ) -> None:
        self.ablation, self.out, self.data, self.device, self.make = ablation, out, data / "train", device, make
        self._samplers: dict[str, list] = {}

    def trained(self, name: str) -> Trained:
        """The variant, trained unless `out` holds it already; one that was stopped goes on.

        Raises InputError where the folder holds one that was trained with other settings."""
        folder, config = self.out / name, self.ablation.config(name)
        self._claim(folder, config)
        if not (folder / DONE).is_file():
            begins = {key: variant.begin for key, variant in self.ablation.variants.items()}
            weights, seconds = trained(name, begins, self._trainer)
            torch.save({"weights": weights, "seconds": seconds}, folder / DONE)
        kept = torch.load(folder / DONE, weights_only=True)
        method = build(config["method"], config["dimension"], config["settings"])
        method.load_state_dict(kept["weights"])
        return Trained(
            method.eval(), digest(kept["weights"]), kept["seconds"], self.ablation.steps(name), last_figures(folder)
        )

    def _trainer(self, name: str, begin: dict | None):
        config = self.ablation.config(name)
        self._claim(self.out / name, config)
        config["training"]["device"] = self.device
        run = make_trainer(config, *self._drawn_from(config), self.out / name)
        if begin is not None and not begin_with(run.method, begin):
            raise InputError(f"No network of the variant {name} fits the one to begin with; name another.")
        return run

    def _claim(self, folder: Path, config: dict) -> None:
        text = json.dumps(config, sort_keys=True, indent=1)
        kept = folder / SETTINGS
        if kept.is_file() and kept.read_text(encoding="utf-8") != text:
            raise InputError(f"{folder} was trained with other settings; delete it, or give another --out.")
        folder.mkdir(parents=True, exist_ok=True)
        write_text(text, kept)

    def _drawn_from(self, config: dict) -> list:
        parts = ("sources", "held_out")
        keys = (*parts, "recipes", "held_out_recipes", "working", "pose", "motion")
        key = json.dumps({name: config[name] for name in keys}, sort_keys=True)
        if key not in self._samplers:
            self._samplers[key] = [self.make(config, part, self.data) for part in parts]
        return self._samplers[key]


def begin_with(method: torch.nn.Module, weights: dict) -> int:
    """Copies what has a name and a shape in common; how many tensors that were."""
    own = method.state_dict()
    common = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    method.load_state_dict({**own, **common})
    return len(common)


def digest(weights: dict) -> str:
    """Tells one set of weights from another."""
    found = hashlib.sha256()
    for key in sorted(weights):
        found.update(key.encode() + weights[key].detach().cpu().contiguous().float().numpy().tobytes())
    return found.hexdigest()


def last_figures(folder: Path) -> dict[str, float]:
    """Of the log's last validation: dice, error_mm and folds of all pairs, and what was found of the translator."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [row for row in rows if "validation" in row][-1]
    return {**last["scores"]["all"], **last.get("translator", {})}
