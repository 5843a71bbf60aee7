"""The training loop on phantoms: it learns, it resumes exactly, each stage trains its own network alone."""

from __future__ import annotations

import json

import torch
from training.test_pairs import sampler

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.training.hierarchical import HierarchicalObjective
from DeepMultiModalRegLib.training.trainer import Trainer, rate

SETTINGS = {"widths": [8, 12, 12], "mask_width": 4, "mask_code": 8, "steps": 5}
WEIGHTS = {
    "g1": {"information": 0.15, "smoothness": 0.05, "overlap": 1.0, "distance": 0.3},
    "g2": {"likeness": 2.5, "mask_information": 0.02, "translated_information": 0.02},
    "g3": {"information": 0.1, "smoothness": 0.05, "likeness": 1.5, "overlap": 1.0, "distance": 0.3},
}


class FewPairs:
    """Draws from three pairs alone, which a network learns by heart in seconds."""

    def __init__(self, source) -> None:
        self.spacing, self.recipes, self.recipe = source.spacing, source.recipes, source.recipe
        self.pairs = [source.draw(torch.Generator().manual_seed(seed), source.recipes[0]) for seed in range(3)]

    def draw(self, generator, recipe):
        return self.pairs[int(torch.randint(3, (), generator=generator))]


def trainer(out, steps: dict[str, int], seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    method = build("hierarchical", 2, SETTINGS)
    plan = {
        "seed": seed,
        "batch": 4,
        "labels": 3,
        "validate_every": 1000,
        "validate_each": 4,
        "bfloat16": False,
        "stages": [{"network": name, "steps": n, "rate": 3e-3} for name, n in steps.items()],
    }
    s = FewPairs(sampler((32, 32)))
    return Trainer(method, HierarchicalObjective(method, WEIGHTS), s, s, plan, out)


def test_training_beats_its_start_and_leaves_a_log_and_pictures(tmp_path):
    t = trainer(tmp_path, {"g1": 150, "g2": 20, "g3": 40})
    assert t.run()
    start, coarse, whole = (t.scores[name]["all"] for name in ("start", "g1", "g3"))
    assert coarse.error_mm < 0.8 * start.error_mm
    assert whole.error_mm < 0.8 * start.error_mm
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {r.get("validation") for r in rows} >= {"start", "g1", "g2", "g3"}
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["0-g1-000150.png", "1-g2-000020.png", "2-g3-000040.png"]


def test_a_stage_changes_its_own_network_and_no_other(tmp_path):
    t = trainer(tmp_path, {"g1": 2, "g2": 0, "g3": 0})
    before = {k: v.clone() for k, v in t.method.state_dict().items()}
    t.run()
    changed = {k.split(".")[0] for k, v in t.method.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"g1"}


def test_the_objective_is_told_how_much_of_the_stage_is_done(tmp_path):
    t = trainer(tmp_path, {"g1": 4, "g2": 0, "g3": 0})
    terms, shares = t.objective.terms, []
    t.objective.terms = lambda *given: shares.append(t.objective.share) or terms(*given)
    t.run()
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    straight = trainer(tmp_path / "a", {"g1": 6, "g2": 0, "g3": 0})
    straight.run()
    stopped = trainer(tmp_path / "b", {"g1": 6, "g2": 0, "g3": 0})
    assert not stopped.run(seconds=0.0)
    assert 0 < stopped.step < 6
    resumed = trainer(tmp_path / "b", {"g1": 6, "g2": 0, "g3": 0}, seed=0)
    resumed.resume()
    assert resumed.run()
    for name, value in straight.method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name


def test_the_rate_warms_up_and_falls():
    values = [rate(1.0, s, 1000) for s in range(1000)]
    assert values[0] < values[99] and max(values) <= 1.0 and values[-1] < 0.05
