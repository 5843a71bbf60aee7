"""Known warps: one-to-one, within their ranges, the same for the same seed."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.core import Grid, InputError, folds
from DeepMultiModalRegLib.evaluation.warps import WarpRanges, known_warp

GRID = Grid.regular((48, 40, 32), (2.0, 2.5, 3.0), torch.tensor([10.0, -20.0, 30.0]))
PLANE = Grid.regular((64, 64), 1.75)


@pytest.mark.parametrize("grid", [GRID, PLANE], ids=["3d", "2d"])
def test_a_known_warp_does_not_fold_and_moves_as_far_as_asked(grid):
    for seed in range(3):
        warp = known_warp(grid, WarpRanges(peak_mm=8.0, smooth_mm=16.0), seed)
        wide = grid.cropped((-4,) * grid.dimension, tuple(n + 8 for n in grid.size))
        assert folds(warp, wide) == 0.0
        assert 4.0 < warp.dense.displacement(grid).norm(dim=0).max() < 12.0


def test_poses_stay_within_their_ranges_and_reach_into_them():
    ranges = WarpRanges(shift_mm=10.0, rotation_deg=12.0, scale=0.1)
    angles, shifts, scales = [], [], []
    for seed in range(60):
        pose = known_warp(PLANE, ranges, seed).affine
        scale = torch.linalg.det(pose.linear).sqrt().item()
        scales.append(scale)
        angles.append(math.degrees(math.acos(min(1.0, pose.linear[0, 0].item() / scale))))
        shifts.append((pose.points(PLANE.centre) - PLANE.centre).abs().max().item())
    assert 10.0 < max(angles) <= 12.0 + 1e-9
    assert 9.0 < max(shifts) <= 10.0
    assert 1.07 < max(scales) <= 1.1 + 1e-9 and 1 / 1.1 - 1e-9 <= min(scales) < 0.94


def test_the_same_seed_gives_the_same_warp_bit_for_bit_and_another_seed_another():
    ranges = WarpRanges(5.0, 5.0, 0.05, 6.0, 18.0)
    first, again, other = (known_warp(GRID, ranges, seed).displacement(GRID) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert (first - other).norm(dim=0).mean() > 1.0


def test_a_slice_of_a_volume_stays_one():
    thin = Grid.regular((32, 32, 1), (2.0, 2.0, 6.0))
    assert known_warp(thin, WarpRanges(peak_mm=4.0, smooth_mm=12.0), 0).dense.field.grid.size[2] == 1


def test_a_warp_that_may_fold_is_refused():
    with pytest.raises(InputError, match="may fold"):
        WarpRanges(peak_mm=20.0, smooth_mm=10.0)
