"""What INNReg is trained on: levels alone, a translator judged on truth and on air, turns of both."""

from __future__ import annotations

import pytest
import torch
from methods.test_innreg import LEVEL, SETTINGS, innreg
from training.test_pairs import sampler

from DeepMultiModalRegLib.evaluation.ablation import Ablation, read_ablation
from DeepMultiModalRegLib.evaluation.ablation_runs import VariantRuns
from DeepMultiModalRegLib.training.draws import Draws
from DeepMultiModalRegLib.training.innreg import BACKGROUND, InnregObjective

WEIGHTS = {
    "direction": {"direction": 1.0},
    "coarse": {"information": 0.1, "smoothness": 0.2, "overlap": 1.0, "distance": 0.3},
    "translator": {"there": 1.0, "back": 1.0, "barrier": 0.05, "threshold": 0.1},
    "registration": {
        "there": 1.0, "back": 1.0, "barrier": 0.05, "threshold": 0.1, "smoothness": 0.2, "overlap": 1.0, "distance": 0.2
    },
}  # fmt: skip


def objective(**settings) -> InnregObjective:
    return InnregObjective(innreg(last=LEVEL, **settings), WEIGHTS)


def batch(size: int = 3):
    return Draws(sampler((32, 32)), 0, 0, size, 3, False)[0]


@pytest.mark.parametrize("stage", ["direction", "coarse", "translator", "registration"])
def test_a_stage_trains_its_own_network_and_no_other(stage):
    o = objective()
    o.method.requires_grad_(False)
    own = {id(p) for p in o.trained(stage).requires_grad_(True).parameters()}
    o.loss(stage, o.terms(stage, batch(), torch.Generator().manual_seed(0))).backward()
    moved = {name for name, p in o.method.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    parts = {"coarse": ("registration.levels", "registration.last"), "translator": ("translator",)}
    parts["direction"] = ("sorter",)
    its = parts.get(stage, ("registration.fine",))
    assert moved and all(name.startswith(its) for name in moved)
    assert own == {id(p) for name, p in o.method.named_parameters() if name.startswith(its)}


def test_the_levels_are_asked_for_the_known_field():
    o = objective()
    b = batch()
    known = o.terms("coarse", b, torch.Generator().manual_seed(0))["distance"]
    b.truth = torch.zeros_like(b.truth)
    assert o.terms("coarse", b, torch.Generator().manual_seed(0))["distance"] < 0.1 * known


def test_a_translator_that_lights_up_the_air_pays_for_it():
    o = objective()
    b = batch()
    terms = []
    for glow in (0.0, 0.3):
        o.method.translation = lambda image, backward, glow=glow: image + glow * (image <= 0.02)
        terms.append(o.terms("translator", b, torch.Generator().manual_seed(0)))
    air = float((b.moving <= 0.02).float().mean())
    assert terms[1]["there"] - terms[0]["there"] > 0.3 * BACKGROUND * air * 0.5


def test_without_translation_only_the_information_of_both_is_left():
    o = objective(translator="none")
    terms = o.terms("registration", batch(), torch.Generator().manual_seed(0))
    assert "there" not in terms and "back" not in terms and "barrier" in terms


def test_plain_information_takes_the_barriers_place_where_the_weights_say_so():
    o = objective()
    plain = {k: v for k, v in WEIGHTS["translator"].items() if k not in ("barrier", "threshold")} | {"information": 0.1}
    o.weights = {**WEIGHTS, "translator": plain}
    terms = o.terms("translator", batch(), torch.Generator().manual_seed(0))
    assert terms["information"] < 0 and "barrier" not in terms
    assert torch.isfinite(o.loss("translator", terms))


def test_the_barriers_threshold_rises_over_the_stage_where_the_weights_say_so():
    o = objective()
    o.weights = {**WEIGHTS, "translator": WEIGHTS["translator"] | {"threshold_begin": 0.01}}
    found, b = [], batch()
    for share in (0.0, 0.25, 0.5, 1.0):
        o.share = share
        found.append(o.terms("translator", b, torch.Generator().manual_seed(0))["barrier"].item())
    assert found[0] < found[1] < found[2] == found[3]
    o.weights = WEIGHTS
    assert o.terms("translator", b, torch.Generator().manual_seed(0))["barrier"].item() == found[3]


class Short(Ablation):
    """The same variants, of tiny networks and two steps a stage."""

    def config(self, name: str) -> dict:
        config = super().config(name)
        kept = {key: config["settings"][key] for key in ("translator",) if key in config["settings"]}
        config["settings"] = {**SETTINGS, "last": LEVEL, **kept, "side": min(3, config["settings"]["side"])}
        config.pop("initial")
        config["training"] |= {"validate_each": 1, "labels": 3, "bfloat16": False}
        for stage in config["training"]["stages"]:
            stage |= {"steps": 2, "shape": [32, 32], "batch": 2}
        return config


def test_every_variant_of_the_ablation_trains_what_it_has(tmp_path):
    shipped = read_ablation("innreg")
    runs = VariantRuns(Short(**vars(shipped)), tmp_path, tmp_path, "cpu", lambda *_: sampler((32, 32)))
    found = {name: runs.trained(name).method for name in shipped.variants}
    assert len({len(list(m.parameters())) for m in found.values()}) >= 4
    assert found["no-translation"].translator is None and found["residual"].translator is not None
    assert not any("attention" in name for name, _ in found["no-attention"].named_parameters())
    logged = {name: (tmp_path / name / "log.jsonl").read_text() for name in found}
    assert all('"validation": "registration"' in text for text in logged.values())
