"""Pose errors of transforms whose errors are known."""

from __future__ import annotations

import math

import torch
from slices import SLICE_SHAPE, pear

from DeepMultiModalRegLib.evaluation.equivariance import pose_errors, rotation_angle
from DeepMultiModalRegLib.evaluation.equivariance_rows import ROWS, TABLES, WEIGHTS, Row
from DeepMultiModalRegLib.evaluation.equivariance_tables import CONFIG, HEAD, MUCH, _line, of_row, trials
from DeepMultiModalRegLib.training.equivariant import TERMS
from DeepMultiModalRegLib.training.equivariant_dense import TERMS as DENSE_TERMS
from DeepMultiModalRegLib.training.equivariant_slices import Slices
from DeepMultiModalRegLib.training.equivariant_train import SliceSet
from DeepMultiModalRegLib.training.train import read_config

ONE = Slices(pear()[:, 0][None], ("t1",), ["pear"])
UNIT = 16.5  # pixels
SLICES = SliceSet(pear(), ONE, ONE)


def turned(degrees: float, shift=(0.0, 0.0), scale: float = 1.0) -> torch.Tensor:
    a = math.radians(degrees)
    m = torch.eye(3)
    m[:2, :2] = scale * torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    m[:2, 2] = torch.tensor(shift)
    return m


def test_a_perfect_answer_has_no_error_and_a_known_one_has_its_own():
    b = torch.stack([turned(200, (0.2, 0.1), 1.4)] * 4)
    inverse = torch.linalg.inv(b[0])
    wrong = [turned(0), turned(60), turned(120), turned(0, (0.5, 0.0))]
    errors = pose_errors(torch.stack([inverse @ w for w in wrong]), b, (109, 91), 54.5, 2.0)
    assert torch.allclose(errors.rotation, torch.tensor([0.0, 60, 120, 0], dtype=torch.float64), atol=1e-2)
    expected = [0, 2 * math.sqrt(2) * math.sin(math.radians(30)), 2 * math.sqrt(2) * math.sin(math.radians(60)), 0.5]
    assert torch.allclose(errors.matrix, torch.tensor(expected, dtype=torch.float64), atol=1e-4)
    assert math.isclose(errors.grid[3].item(), 54.5, rel_tol=1e-4)  # half of 54.5 px of 2 mm
    found = errors.summary()
    assert found["theta_45"] == 50 and found["theta_90"] == 25


def test_the_grid_error_is_in_mm_of_the_image():
    """Turned by 180 degrees a point moves by twice its distance from the middle: corners, edges, middle."""
    errors = pose_errors(turned(180)[None], torch.eye(3)[None], (100, 60), 50.0, 2.0)
    expected = 2 * (4 * math.hypot(100, 60) + 2 * 100 + 2 * 60) / 9
    assert math.isclose(errors.grid.item(), expected, rel_tol=1e-5)


def test_rotations_in_volumes_and_mirrors_are_counted():
    a = math.radians(75)
    about_z = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1.0]])
    stretched = about_z @ torch.diag(torch.tensor([1.5, 0.7, 1.1]))
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    assert torch.allclose(rotation_angle(torch.stack([about_z, mirror])), torch.tensor([75.0, 180.0]), atol=1e-2)
    assert abs(rotation_angle(stretched[None]).item() - 75) < 1e-2


def test_the_tables_rows_can_be_trained():
    assert {name for names in TABLES.values() for name in names} <= set(ROWS)
    for row in ROWS.values():
        assert bool(row.peer) != bool(row.stages or row.begin)
        assert row.begin is None or row.begin in ROWS
        own = () if row.head == "numbers" else DENSE_TERMS
        for stage in row.stages:
            assert set(WEIGHTS[stage["network"]]) <= {*TERMS, *own, "supervised", "brought"}
    assert not any("information" in WEIGHTS[ROWS[name].stages[0]["network"]] for name in ("losses", "two-grid"))


def test_the_shipped_models_row_is_the_run_of_its_configuration():
    config = read_config(CONFIG)
    assert config["training"]["stages"] == ROWS["dense-shipped"].stages and ROWS["dense-shipped"].begin is None
    assert all(WEIGHTS[name] == weights for name, weights in config["weights"].items())
    assert config["settings"] == of_row(config, ROWS["dense-shipped"])["settings"]
    assert ROWS["dense-warm"].stages == ROWS["dense-shipped"].stages[:1]


def test_how_much_of_the_head_a_pose_leaves_in_view():
    """All of it in narrow poses, whatever they stretch; less in wide ones, and less again behind occlusions."""
    narrow, wide, covered = (
        trials(Row("", ranges=ranges, occlusion=occlusion), SLICES, UNIT, 40)
        for ranges, occlusion in (("D0", None), ("D1-far", None), ("D1-far", "large"))
    )
    assert narrow.seen.median() > 0.95 and narrow.seen.max() < 1.02
    assert wide.seen.mean() < narrow.seen.mean() and covered.seen.mean() < wide.seen.mean()
    assert (wide.seen < MUCH).any() and wide.images.shape == (40, 1, *SLICE_SHAPE)
    assert torch.equal(wide.b, covered.b)
    assert torch.equal(wide.some(4).b, wide.b[[0, 13, 26, 39]])


def test_on_a_picture_that_is_large_enough_nothing_is_cut_off():
    """The same poses, all of the head in view; what is covered is covered on the slice."""
    slices = Slices(torch.nn.functional.pad(pear()[:, 0][None], (31, 31, 38, 38)), ("t1",), ["pear"])
    plain, cut, covered = (
        trials(Row("", ranges="D1", occlusion=occlusion, whole=whole), SliceSet(pear(), slices, slices), 54.5, 40)
        for occlusion, whole in ((None, True), (None, False), ("large", True))
    )
    assert torch.equal(plain.b, cut.b) and plain.images.shape[2:] == (327, 273) and cut.images.shape[2:] == (109, 91)
    assert plain.seen.min() > 0.9 > cut.seen.min() and covered.seen.mean() < 0.9 * plain.seen.mean()
    assert 0 < (cut.seen >= MUCH).sum() < 40


def test_a_rows_line_says_how_many_were_not_in_doubt_where_the_network_says_so():
    figures = dict.fromkeys(
        ("mat_err", "mat_err_sd", "theta_45", "theta_90", "theta_45_much", "grid_mm", "grid_median_mm", "cpu_seconds"),
        1.0,
    ) | {"steps": 5, "much_seen": 7}
    silent = _line(ROWS["two-grid"], figures)
    told = _line(ROWS["dense-d1"], figures | {"believed": 321, "theta_45_believed": 0.5})
    assert "| 0.50 (321) |" in told and "(321)" not in silent and "| – |" in silent
    assert {line.count("|") for line in (silent, told, *HEAD.splitlines())} == {11}
