"""Dice and HD95 against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.core import Grid, InputError
from DeepMultiModalRegLib.evaluation.dice import dice, labels_of, mean
from DeepMultiModalRegLib.evaluation.surface import hausdorff95


def box(shape, low, high, label=1):
    out = torch.zeros(shape, dtype=torch.int16)
    out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = label
    return out


def ball(grid: Grid, radius: float, centre=None) -> torch.Tensor:
    return ((grid.points(torch.float64) - (grid.centre if centre is None else centre)).norm(dim=-1) <= radius).to(
        torch.int16
    )


def test_dice_of_two_boxes_is_that_of_their_counts():
    a = box((8, 10, 12), (1, 1, 1), (5, 5, 5))  # 64 voxels
    b = box((8, 10, 12), (1, 1, 3), (5, 5, 9))  # 96 voxels, 32 in common
    assert dice(a, b) == {1: pytest.approx(2 * 32 / (64 + 96))}


def test_dice_is_measured_per_label_and_averaged_with_equal_weights():
    a = box((4, 40), (0, 0), (4, 10), 3) + box((4, 40), (0, 20), (1, 21), 7)
    b = box((4, 40), (0, 5), (4, 15), 3) + box((4, 40), (0, 20), (1, 21), 7)
    assert dice(a, b) == {3: pytest.approx(0.5), 7: 1.0}
    assert mean(dice(a, b)) == pytest.approx(0.75)


def test_a_label_that_one_map_lacks_counts_as_zero_only_when_asked_for():
    a, b = box((4, 4), (0, 0), (2, 2), 1), box((4, 4), (0, 0), (2, 2), 1) + box((4, 4), (3, 3), (4, 4), 2)
    assert labels_of(a, b) == [1]
    assert dice(a, b) == {1: 1.0}
    assert dice(a, b, [1, 2, 9]) == {1: 1.0, 2: 0.0}
    assert math.isnan(mean({}))


def test_maps_of_different_shape_are_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        dice(torch.zeros(3, 3), torch.zeros(3, 4))


def test_single_voxels_lie_their_distance_in_mm_apart_on_every_lattice(lattice):
    first = [0] * lattice.dimension
    last = [n - 1 for n in lattice.shape]
    a, b = torch.zeros(lattice.shape, dtype=torch.int16), torch.zeros(lattice.shape, dtype=torch.int16)
    a[tuple(first)], b[tuple(last)] = 5, 5
    points = lattice.points(torch.float64)
    expected = (points[tuple(first)] - points[tuple(last)]).norm().item()
    assert hausdorff95(a, b, lattice, [5])[5] == pytest.approx(expected, abs=1e-4)


def test_parallel_plates_lie_their_gap_apart_in_the_spacing_of_that_axis():
    grid = Grid.regular((20, 18, 16), (0.5, 1.25, 3.0))
    a, b = box(grid.shape, (4, 2, 2), (5, 16, 18)), box(grid.shape, (9, 2, 2), (10, 16, 18))
    assert hausdorff95(a, b, grid, [1])[1] == pytest.approx(5 * 3.0, abs=1e-4)
    a, b = box(grid.shape, (2, 2, 3), (14, 16, 4)), box(grid.shape, (2, 2, 11), (14, 16, 12))
    assert hausdorff95(a, b, grid, [1])[1] == pytest.approx(8 * 0.5, abs=1e-4)


def test_concentric_balls_lie_the_difference_of_their_radii_apart():
    grid = Grid.regular((64, 50, 40), (0.8, 1.0, 1.25))
    assert hausdorff95(ball(grid, 20.0), ball(grid, 14.0), grid, [1])[1] == pytest.approx(6.0, abs=0.8)


def test_the_95th_percentile_ignores_a_few_outliers_and_the_larger_direction_counts():
    grid = Grid.regular((60, 60), 1.0)
    a = box(grid.shape, (10, 10), (40, 40))
    b = a.clone()
    b[55, 55] = 1  # one voxel of 117 on the surface: beyond the 95th percentile
    assert hausdorff95(a, b, grid, [1])[1] == 0.0
    b[50:56, 50:56] = 1  # twenty surface voxels far away: within it, though every voxel of a still lies on b
    assert hausdorff95(a, b, grid, [1])[1] > 10.0
    assert hausdorff95(b, a, grid, [1]) == hausdorff95(a, b, grid, [1])


def test_a_label_missing_on_one_side_is_infinitely_far_and_on_both_left_out():
    grid = Grid.regular((8, 8), 1.0)
    a, b = box(grid.shape, (2, 2), (4, 4), 1), torch.zeros(grid.shape, dtype=torch.int16)
    assert hausdorff95(a, b, grid, [1, 2]) == {1: math.inf}
