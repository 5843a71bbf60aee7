"""The slices experiment's pairs, its way through a network, and the timing experiment's fresh process."""

from __future__ import annotations

import math

import pytest
import torch
from fakes import Constant, phantom, write_tiny_model

from DeepMultiModalRegLib.core import Affine, Grid, InputError, resample
from DeepMultiModalRegLib.evaluation.dice import dice, mean
from DeepMultiModalRegLib.evaluation.slice_pairs import SlicePair, slice_pairs
from DeepMultiModalRegLib.evaluation.slices import Found, network, row_of
from DeepMultiModalRegLib.evaluation.timing import fresh_process
from DeepMultiModalRegLib.evaluation.translation import mean_squared_error

GRID = Grid.regular((64, 64), 1.75)


def phantom_pair(shift) -> SlicePair:
    fixed, moving = phantom(GRID, height=1.0), phantom(GRID, shift, height=1.0)
    labels = {
        "lump": (
            fixed.with_tensor((fixed.tensor * 3).round().int()),
            moving.with_tensor((moving.tensor * 3).round().int()),
            [1, 2, 3],
        )
    }
    truth = Affine.from_parts(torch.eye(2, dtype=torch.float64), torch.tensor(shift, dtype=torch.float64))
    return SlicePair("phantom", fixed, moving, moving, labels, fixed.tensor[0] > 0.1, truth)


def test_a_networks_voxels_become_mm_and_the_row_measures_them():
    pair = phantom_pair((3.5, -5.25))  # 2 and -3 pixels
    found = network([pair], Constant(2.0, -3.0), None, "none", "cpu")[0]
    row = row_of("m", pair, found)
    assert row["error_mean_mm"] < 1e-3 and row["mse_percent"] < 1e-6 and row["folds"] == 0.0
    assert row["dice_lump"] == pytest.approx(1.0, abs=1e-3)
    worse = row_of("m", pair, network([pair], Constant(0.0, 0.0), None, "none", "cpu")[0])
    assert worse["error_mean_mm"] == pytest.approx(math.hypot(3.5, 5.25), abs=1e-3) and worse["dice_lump"] < 0.9


def test_after_moments_the_network_sees_what_is_left():
    pair = phantom_pair((14.0, -8.75))
    method = Constant(0.0, 0.0)
    found = network([pair], method, None, "moments", "cpu")[0]
    assert row_of("m", pair, found)["error_mean_mm"] < 1.0
    fixed, moving = method.seen[-1]
    assert (fixed - moving).abs().mean() < 0.02 < (pair.fixed.tensor - pair.moving.tensor).abs().mean()


def test_translation_is_measured_where_the_network_saw_the_moving_image():
    """Constant renders the negative: of a T1 that is the moving slice's negative, it is the perfect translation."""
    pair = phantom_pair((14.0, -8.75))
    pair = SlicePair(**{**vars(pair), "moving_as_fixed": pair.moving.with_tensor(1 - pair.moving.tensor)})
    found = network([pair], Constant(0.0, 0.0), None, "none", "cpu")[0]
    assert row_of("m", pair, found)["psnr"] > 60 and row_of("m", pair, found)["ssim"] > 0.999


@pytest.fixture(scope="module")
def pairs(data_dir) -> list[SlicePair]:
    return slice_pairs(data_dir, 4, seed=0)


def test_the_pairs_are_aligned_by_their_truth_and_by_nothing_less(pairs):
    for pair in pairs:
        assert pair.fixed.grid.size == (128, 128) and pair.fixed.grid.same_as(pair.moving.grid)
        assert len(pair.labels["aal"][2]) >= 8
        overlap = {}
        for name, transform in (("identity", None), ("truth", pair.truth)):
            fixed, moving, counted = pair.labels["aal"]
            warped = resample(moving, fixed.grid, transform, "nearest")
            overlap[name] = mean(dice(fixed.tensor, warped.tensor, counted))
        assert overlap["truth"] > 0.88 > overlap["identity"] + 0.2
        carried = resample(pair.moving_as_fixed, pair.fixed.grid, pair.truth).tensor
        assert mean_squared_error(carried, pair.fixed.tensor) < 0.005
        assert row_of("identity", pair, Found(Affine.identity(2), 0.0))["error_mean_mm"] > 3.0
    assert len({tuple(pair.truth.affine.matrix.flatten().tolist()) for pair in pairs}) == 4


def test_the_pairs_are_the_same_for_the_same_seed(pairs, data_dir):
    again = slice_pairs(data_dir, 4, seed=0)
    assert all(torch.equal(a.moving.tensor, b.moving.tensor) for a, b in zip(pairs, again, strict=True))


def test_no_pairs_is_refused(tmp_path):
    with pytest.raises(InputError, match="--slices"):
        slice_pairs(tmp_path, 0)


def test_a_fresh_process_reports_its_own_seconds_and_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    write_tiny_model(tmp_path, "tiny-t1t2-3d")
    grid = Grid.regular((32, 32, 32), 3.0)
    ballast = torch.ones(1 << 28)  # a gigabyte here must not be counted there
    row = fresh_process(phantom(grid), phantom(grid, (5.0, 0.0, 0.0)), "tiny-t1t2-3d", "cpu", 1, 0)
    assert 0 < row["network"] < row["whole"] and 100 < row["peak_mb"] < 900, row
    assert ballast[0] == 1
