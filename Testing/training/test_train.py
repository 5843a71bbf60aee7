"""Training configurations, and the way from a finished run to a model that the engine loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.engine.catalogue import load
from DeepMultiModalRegLib.engine.description import read_description
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.training.export import add_results, export
from DeepMultiModalRegLib.training.initial import begin
from DeepMultiModalRegLib.training.train import CONFIGS, OBJECTIVES, data_folder, read_config

# those of pairs; a pose network is trained on single images and has a schema of its own
PAIRED = [p for p in sorted(CONFIGS.glob("*.yaml")) if yaml.safe_load(p.read_text())["method"] in OBJECTIVES]
LAST = {
    "disentangled": {("translator", "registration"), ("registration", "registration")},  # in 3D likewise
    "hierarchical": {("g1", "g3")},
    "innreg": {("translator", "registration"), ("registration", "registration")},  # in 3D likewise
    "nemar": {("translator", "together"), ("registration", "registration")},  # in 3D the translator is the 2D one
}


@pytest.mark.parametrize("path", PAIRED, ids=lambda p: p.stem)
def test_shipped_configurations_are_valid_and_name_what_exists(path: Path):
    config = read_config(path.stem)
    assert config["name"] == path.stem
    method = build(config["method"], config["dimension"], config["settings"])
    objective = OBJECTIVES[config["method"]](method, config["weights"])
    stages = [stage["network"] for stage in config["training"]["stages"]]
    assert set(stages) == set(config["weights"]) <= set(objective.stages)
    first = next(stage for stage in stages if stage not in ("direction", "coarse", "levels"))
    assert (first, stages[-1]) in LAST[config["method"]], "each network is trained on what those before it give"
    for recipe in config["recipes"]:
        assert all(n % method.multiple == 0 for n in recipe["shape"])
    held_out = {(s["group"], name) for s in config["held_out"] for name in s["only"]}
    excluded = {(s["group"], name) for s in config["sources"] for name in s.get("exclude", [])}
    assert held_out == excluded, "a subject must not be on both sides"


def test_a_wrong_configuration_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="There is no training configuration"):
        read_config("nosuch")
    config = read_config(PAIRED[0].stem)
    config["training"]["batch"] = 0
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=r"training\.batch: 0 is less than 1"):
        read_config(tmp_path / "bad.yaml")


def test_missing_training_data_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPMULTIMODALREG_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="DEEPMULTIMODALREG_DATA"):
        data_folder()


def test_an_exported_network_is_the_one_the_catalogue_loads(tmp_path):
    config = read_config("hierarchical-t1t2-brain-2d")
    config["settings"] = {"widths": [4, 6], "mask_width": 4, "mask_code": 8}
    torch.manual_seed(0)
    method = build(config["method"], 2, config["settings"]).eval()
    torch.nn.init.normal_(method.g1.head.bias)
    folder = export(config, method, 12.3, tmp_path)
    loaded = load(read_description(folder)).method
    fixed, moving = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    # half precision on disk
    assert torch.allclose(loaded(fixed, moving).displacement, method(fixed, moving).displacement, atol=2e-2)


def test_what_a_network_began_as_and_still_is_is_not_written_again(tmp_path):
    config = read_config("nemar-affine-t1t2-brain-3d")
    method = build(config["method"], config["dimension"], config["settings"])
    for entry in config["initial"]:
        begin(method, entry)
    kept = {entry["network"] for entry in config["initial"]} - {"registration.levels.1"}
    with torch.no_grad():
        next(method.get_submodule("registration.levels.1").parameters()).add_(1.0)
    description = read_description(export(config, method, 1.0, tmp_path))
    assert {share["network"] for share in description.shares} == kept
    written = torch.load(description.folder / "weights.pt", weights_only=True)
    # what began as nobody's, the confidence, is always its own
    own = {key.split(".")[0] if key.startswith("confidence.") else key.rsplit(".levels.1.")[0] for key in written}
    assert own == {"registration", "confidence"}
    loaded = load(description).method.state_dict()
    assert all(torch.equal(loaded[key], value.half().float()) for key, value in method.state_dict().items())


def test_results_are_added_without_touching_the_weights(tmp_path):
    config = read_config("hierarchical-t1t2-brain-2d")
    config["settings"] = {"widths": [4, 6], "mask_width": 4, "mask_code": 8}
    folder = export(config, build(config["method"], 2, config["settings"]), 12.3, tmp_path)
    before = (folder / "weights.pt").read_bytes()
    add_results(folder, [{"case": "a", "dice": 0.5}])
    assert read_description(folder).data["results"] == [{"case": "a", "dice": 0.5}]
    assert (folder / "weights.pt").read_bytes() == before
    load(read_description(folder))
    with pytest.raises(InputError, match="results"):
        add_results(folder, ["not a row"])
    assert read_description(folder).data["results"] == [{"case": "a", "dice": 0.5}]
