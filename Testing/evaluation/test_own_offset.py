"""The own-offset experiment tells how far a pair that is called aligned lies apart, and how well it can tell."""

from __future__ import annotations

import json

import pytest
import torch
from heads import head, stack_grid

from DeepMultiModalRegLib.core import Affine
from DeepMultiModalRegLib.evaluation import own_offset
from DeepMultiModalRegLib.evaluation.cases import read_cases
from DeepMultiModalRegLib.evaluation.command import main
from DeepMultiModalRegLib.evaluation.skull import ct_wall, mr_wall
from DeepMultiModalRegLib.io import write_image

GRID = stack_grid()
NARROW = Affine.from_parts(torch.diag(torch.tensor([0.95, 0.95, 1.0]).double()), torch.zeros(3).double())


def test_the_experiment_writes_the_offset_of_a_pair_and_its_matrix(tmp_path, monkeypatch, capsys):
    write_image(head("CT", GRID), tmp_path / "ct.nrrd")
    write_image(head("MR", GRID, NARROW), tmp_path / "mr.nrrd")
    monkeypatch.setattr(own_offset, "PAIRS", {"case 21": ("ct.nrrd", "mr.nrrd")})
    monkeypatch.setattr(own_offset, "DRAWS", 1)
    asked = ["evaluate", "--experiment", "own-offset", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(asked) == 0
    rows = json.loads((tmp_path / "out" / "own-offset.json").read_text())["rows"]
    assert [row["surface"] for row in rows] == ["middle", "inner"]
    for row in rows:
        assert row["scale_i"] == pytest.approx(0.95, abs=0.02) and row["plane_mm"] > 1.5
        assert row["found_plane_mm"] < 0.6 and row["found_across_mm"] < 1.2
        assert torch.tensor(row["matrix"]).shape == (4, 4)
    assert "slice by slice" in capsys.readouterr().out


def test_by_slice_the_wider_head_lies_outside_on_every_side():
    middle = (63.5, 63.5)
    rows = own_offset.slices_of(ct_wall(head("CT", GRID), middle), mr_wall(head("MR", GRID, NARROW), middle))
    for side in own_offset.SIDES:
        assert 2.0 < rows[len(rows) // 2][side] < 6.5


def test_the_cases_of_patient_21_hold_the_matrix_and_its_inverse():
    there, back = (torch.tensor(case["own"]) for case in read_cases("ctmr")[:2])
    assert torch.allclose(there @ back, torch.eye(4), atol=2e-3)
    assert [case["own"] for case in read_cases("ctmr")[2:]] == [case["own"] for case in read_cases("ctmr")[:2]]
