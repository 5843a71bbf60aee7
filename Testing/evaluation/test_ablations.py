"""Ablations: their descriptions, training each once, keeping what was made, the table beside published figures."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import yaml
from training.test_pairs import sampler

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.evaluation import ablations
from DeepMultiModalRegLib.evaluation.ablation import FOLDER, Ablation, Variant, merged, read_ablation
from DeepMultiModalRegLib.evaluation.ablation_runs import VariantRuns, begin_with
from DeepMultiModalRegLib.evaluation.command import ABLATIONS
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.training.train import read_config

LEVEL = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4}
TINY = {
    "settings": {"width": 4, "blocks": 1, "steps": 4, "levels": [LEVEL], "last": LEVEL},
    "initial": None,
    "training": {
        "batch": 2, "validate_each": 1, "bfloat16": False,
        "stages": [{"network": "together", "steps": 3, "rate": 1e-3}],
    },
}  # fmt: skip
VARIANTS = {
    "one": Variant("one", "the one", "0.5"),
    "other": Variant("other", "the other", "?", {"weights": {"together": {"warp_first": 0}}}, begin="one"),
}


def tiny() -> Ablation:
    return Ablation("tiny", "nemar-t1t2-brain-2d", "Words.", "Unverified.", ("albert",), TINY, VARIANTS)


def runs(out, ablation=None) -> VariantRuns:
    return VariantRuns(ablation or tiny(), out, out, "cpu", make=lambda config, part, data: sampler((32, 32)))


def test_every_ablation_of_the_command_is_described_and_all_its_variants_can_be_trained():
    assert {f"{path.stem}-ablations" for path in FOLDER.glob("*.yaml")} == set(ABLATIONS)
    for name in ABLATIONS:
        ablation = read_ablation(name.removesuffix("-ablations"))
        steps = {ablation.steps(key) for key, one in ablation.variants.items() if one.shown and key != "begin"}
        assert len(steps) == 1, "variants are compared after as many steps each"
        for key in ablation.variants:
            config = ablation.config(key)
            if key == "begin":
                assert not any(stage["rate"] for stage in config["training"]["stages"])
            for stage in config["training"]["stages"]:
                assert config["weights"][stage["network"]]
            build(config["method"], config["dimension"], config["settings"])


def test_overrides_reach_where_they_point_and_nowhere_else():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    before = copy.deepcopy(base)
    assert merged(base, {"a": {"c": [5], "e": {"f": 6}}, "d": None}) == {"a": {"b": 1, "c": [5], "e": {"f": 6}}}
    assert base == before
    config = tiny().config("other")
    assert config["weights"]["together"]["warp_first"] == 0 and config["weights"]["together"]["translate_first"] == 1
    assert config["recipes"] == read_config("nemar-t1t2-brain-2d")["recipes"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bad Name"}, {"extra": 1}, {"slices_of": ["moon"]}, {"slices_of": ["albert"], "cases": {"list": "a"}},
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused_in_a_sentence(tmp_path, change):
    data = yaml.safe_load((FOLDER / "nemar.yaml").read_text()) | change
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="not valid"):
        read_ablation(tmp_path / "a.yaml")


def test_a_variant_is_trained_once_and_begins_where_it_should(tmp_path):
    other = runs(tmp_path).trained("other")
    log = (tmp_path / "one" / "log.jsonl").read_text()
    one = runs(tmp_path).trained("one")
    assert (tmp_path / "one" / "log.jsonl").read_text() == log, "it was there already"
    assert one.digest != other.digest and one.steps == other.steps == 3
    assert {"dice", "commutation", "edges_mm"} <= set(one.figures)
    again = runs(tmp_path / "again").trained("other")
    assert again.digest == other.digest, "same seed, same start, same weights"
    change = tiny()
    change.common["training"] = {**change.common["training"], "seed": 5}
    try:
        with pytest.raises(InputError, match="other settings"):
            runs(tmp_path, change).trained("one")
    finally:
        change.common["training"].pop("seed")


def test_a_start_fits_as_far_as_shapes_agree():
    small, large = (build("nemar", 2, {**TINY["settings"], "width": width}) for width in (4, 8))
    before = {key: value.clone() for key, value in large.state_dict().items()}
    given, after = small.state_dict(), large.state_dict()
    assert begin_with(large, given) > 0
    for key, value in after.items():
        assert torch.equal(value, given[key] if given[key].shape == value.shape else before[key])
    assert any(given[key].shape != value.shape for key, value in after.items())


def test_rows_are_kept_and_published_figures_stand_beside_ours(tmp_path, monkeypatch, capsys):
    from evaluation.test_experiments import phantom_pair

    from DeepMultiModalRegLib.evaluation.command import main

    drawn = []
    monkeypatch.setattr(ablations, "data_folder", lambda given=None: tmp_path)
    monkeypatch.setattr(ablations, "read_ablation", lambda name: tiny())
    monkeypatch.setattr(ablations, "VariantRuns", lambda ablation, out, *_: runs(out, ablation))
    monkeypatch.setattr(ablations, "slice_pairs", lambda *_: (drawn.append(1), [phantom_pair((3.5, 0.0))])[1])
    command = ["evaluate", "--experiment", "nemar-ablations", "--models", "none", "--slices", "1"]
    command += ["--out", str(tmp_path)]
    assert main(command) == 0
    text = (tmp_path / "table.md").read_text()
    (line,) = [row for row in text.splitlines() if row.startswith("| the one | 3 |")]
    assert line.endswith("| 0.5 |") and "Unverified." in text
    assert all(words in text for words in ("| identity |", "| truth |", "HD95 mm (lump)"))
    means = json.loads((tmp_path / "table.json").read_text())["rows"]
    figures = {row["method"]: row for row in means if "T2 onto T1" in row["group"]}
    assert figures["truth"]["error_mean_mm"] < 1e-6 < figures["the one"]["error_mean_mm"]
    count = len(drawn)
    assert main([*command, "--only", "one"]) == 0
    assert len(drawn) == count, "no row was made again"
    assert main([*command, "--only", "nobody"]) == 2
    assert "it has one, other" in capsys.readouterr().err


@pytest.mark.parametrize("measured", [{}, {"slices_of": ["albert"], "cases": {"list": "known_warps", "only": "near"}}])
def test_slices_or_volumes_are_measured_never_both_or_none(tmp_path, measured):
    data = yaml.safe_load((FOLDER / "nemar.yaml").read_text())
    del data["slices_of"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data | measured))
    with pytest.raises(InputError, match="just one"):
        read_ablation(tmp_path / "a.yaml")


def test_variants_of_volumes_are_measured_on_the_cases_of_a_list_and_kept(tmp_path, monkeypatch):
    from evaluation.test_evaluate import GRID
    from fakes import phantom

    from DeepMultiModalRegLib.evaluation import tabulate
    from DeepMultiModalRegLib.evaluation.command import main
    from DeepMultiModalRegLib.io import write_image

    write_image(phantom(GRID), tmp_path / "image.nrrd")
    case = {"fixed": "image.nrrd", "moving": "image.nrrd", "mask": {"head": "image.nrrd"}}
    case["warp"] = {"of": "moving", "seed": 2, "shift_mm": 6.0}
    cases = tmp_path / "cases.yaml"
    cases.write_text(yaml.safe_dump({"cases": [{"name": name, **case} for name in ("near", "far")]}))
    common = copy.deepcopy(TINY) | {"weights": {"registration": {"bilateral": 1.0}}}
    common["training"]["stages"] = [{"network": "registration", "steps": 1, "rate": 1e-3}]
    one, measured = {"one": Variant("one", "the one", "?")}, {"list": str(cases), "only": "near"}
    ablation = Ablation("tiny", "nemar-t1t2-brain-3d", "Words.", "None.", (), common, one, measured)
    made = lambda ablation, out, *_: VariantRuns(  # noqa: E731
        ablation, out, out, "cpu", make=lambda config, part, data: sampler((16, 16, 16))
    )
    monkeypatch.setattr(ablations, "data_folder", lambda given=None: tmp_path)
    monkeypatch.setattr(ablations, "read_ablation", lambda name: ablation)
    monkeypatch.setattr(ablations, "VariantRuns", made)
    loaded = []
    load = tabulate.load_case
    monkeypatch.setattr(tabulate, "load_case", lambda *given: (loaded.append(1), load(*given))[1])
    command = ["evaluate", "--experiment", "nemar-volumes-ablations", "--models", "none", "--data", str(tmp_path)]
    command += ["--out", str(tmp_path / "out"), "--refine", "0"]
    for _ in range(2):
        assert main(command) == 0
        figures = {row["method"]: row for row in json.loads((tmp_path / "out" / "table.json").read_text())["rows"]}
        assert list(figures) == ["identity", "moments", "the one", "truth"]
        assert all(row["cases"] == 1 and row["group"] == "near" for row in figures.values())
        assert figures["truth"]["error_mean_mm"] < 1e-3 < figures["the one"]["error_mean_mm"]
        assert 2 * figures["the one"]["error_mean_mm"] < figures["identity"]["error_mean_mm"], "it begins from moments"
    assert len(loaded) == 1, "no row was made again"
    assert "| the one | 1 |" in (tmp_path / "out" / "table.md").read_text()
