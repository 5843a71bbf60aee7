"""Slices as cases of a list: two of each entry, with their truth and structures; 2D models beside them, no others."""

from __future__ import annotations

import argparse

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.evaluation.cases import load_case, read_cases
from DeepMultiModalRegLib.evaluation.command import benchmarked, main
from DeepMultiModalRegLib.evaluation.displacement import transform_errors
from DeepMultiModalRegLib.evaluation.runners import Runner, Settings, runners
from DeepMultiModalRegLib.evaluation.tabulate import _serves


def test_an_entry_of_slices_stands_for_as_many_cases_and_a_wrong_one_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("cases:\n  - {name: a, slices: {of: brainweb, count: 3}, peers: [ants-syn]}\n")
    cases = read_cases(path)
    assert [case["name"] for case in cases] == ["a-0", "a-1", "a-2"]
    assert all(case["group"] == "a" and case["peers"] == ["ants-syn"] for case in cases)
    for wrong in ("{of: nobody, count: 2}", "{of: brainweb}", "{of: brainweb, count: 0}", "{of: brainweb, n: 2}", "7"):
        path.write_text(f"cases:\n  - {{name: a, slices: {wrong}}}\n")
        with pytest.raises(InputError, match="of:"):
            read_cases(path)
    path.write_text("cases:\n  - {name: a, slices: {of: brainweb, count: 2}, fixed: t1.nii.gz}\n")
    with pytest.raises(InputError, match="fixed"):
        read_cases(path)


def test_the_benchmark_s_slices_are_eight_in_both_directions_of_adults_and_newborns():
    cases = read_cases("slices")
    assert len(cases) == 8 and len({case["name"] for case in cases}) == 8
    assert len({case["group"] for case in cases}) == 4
    assert sum(bool(case["slices"].get("exchanged")) for case in cases) == 4


def test_a_pair_has_its_truth_and_the_structures_alone(data_dir):
    cases = [case for case in read_cases("slices") if case["group"] == "slices, adult, T1 onto T2"]
    one, other = (load_case(case, data_dir) for case in cases)
    assert one.fixed.grid.size == (128, 128) and one.modalities == ("T2", "T1")
    assert not torch.equal(one.fixed.tensor, other.fixed.tensor)
    fixed, moving = one.labels["structures"]
    assert {71, 72, 73, 74, 77, 78} >= set(fixed.tensor.unique().tolist()) - {0} != set()
    assert set(moving.tensor.unique().tolist()) <= {0, 71, 72, 73, 74, 77, 78}
    assert float(transform_errors(one.truth, one.truth, one.fixed.grid, one.mask).max()) == 0
    turned = load_case(next(c for c in read_cases("slices") if c["name"] == "slice-adult-t2-onto-t1-0"), data_dir)
    assert not torch.equal(turned.fixed.tensor, one.fixed.tensor)


def test_each_table_has_the_models_of_its_dimension():
    def served(dimension: int | None, planar: bool, command: str = "benchmark", models: str = "all", **settings):
        runner = Runner(lambda case: None, "model", settings=settings, dimension=dimension)
        return _serves(runner, planar, argparse.Namespace(command=command, models=models))

    assert served(2, True) and served(None, True) and not served(3, True)
    assert served(None, True, start="network"), "all five methods stand in the table, this one as a start"
    assert served(3, False) and served(None, False, start="network") and not served(2, False)
    assert served(2, False, "evaluate") and served(2, False, models="a-2d"), "who asks for it gets it slice by slice"


def test_a_model_may_have_a_start_of_its_own():
    rows = runners(["rigid", "affine@network", "affine"], [], Settings(refine=20))
    assert "affine, start network, refined" in rows and rows["affine, refined"].settings["start"] == "moments"
    assert rows["affine, start network"].settings["start"] == "network"
    assert rows["affine, start network, refined"].model == "affine, start network"


def test_a_benchmark_of_all_has_every_method_but_none_for_ct():
    names = benchmarked()
    assert names[:3] == ["rigid", "affine", "affine@network"] and names.count("affine") == 1
    assert not any("ctmr" in name for name in names)
    for method in ("equivariant", "hierarchical", "innreg", "nemar"):
        assert any(name.startswith(method) for name in names)


def test_one_command_puts_slices_in_the_overview_with_seconds_and_memory(data_dir, tmp_path):
    case, model = "slice-newborn-t2-onto-t1-0", "hierarchical-t1t2-brain-2d"
    arguments = ["benchmark", "--cases", "slices", "--only", case, "--models", f"{model},hierarchical-t1t2-brain-3d"]
    arguments += ["--peers", "none", "--refine", "2", "--threads", "1", "--data", str(data_dir), "--out", str(tmp_path)]
    assert main(arguments) == 0
    text = (tmp_path / "results.md").read_text()
    section = text.split("## All methods in one table")[1].split("\n## ")[0]
    assert "### Slices" in section and "### Volumes" not in section and "brain-3d" not in section
    cells = [cell.strip() for cell in next(line for line in section.splitlines() if model in line).split("|")[1:-1]]
    assert cells[:2] == [model, "1"] and all(float(cell) > 0 for cell in cells[2:])
    assert float(cells[2]) > 0.7 and float(cells[10]) > 100, "Dice without refinement, and MB"
