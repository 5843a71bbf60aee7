"""Matching costs and the level that is built on them."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.networks.correlation import expected_offset, matching_cost, offsets, standardised
from DeepMultiModalRegLib.networks.pyramid import MatchingLevel


def test_a_cube_and_a_star_of_offsets_hold_each_displacement_once():
    table = offsets(3, 1, 2)
    assert len(table) == len(set(table)) == 27 + 6
    assert (0, 0, 0) in table and (2, 0, 0) in table and (0, 0, -2) in table and (2, 1, 0) not in table


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 0, 0), (0, -1, 0), (0, 0, 1), (1, -1, 1)])
def test_the_least_cost_lies_at_the_true_shift_ordered_i_j_k(shift):
    features = torch.rand(1, 5, 10, 11, 12, generator=torch.Generator().manual_seed(0))
    # the fixed voxel x shows what the moving voxel x + shift shows
    fixed = features.roll([-c for c in reversed(shift)], (2, 3, 4))
    table = offsets(3, 1)
    cost = matching_cost(fixed, features, table)[0, :, 2:-2, 2:-2, 2:-2]
    assert cost[table.index(shift)].max() < 1e-10
    assert (cost.argmin(0) == table.index(shift)).all()
    found = expected_offset(standardised(cost[None]), table, sharpness=50.0)
    assert torch.allclose(found.mean((0, 2, 3, 4)), torch.tensor(shift, dtype=torch.float32), atol=1e-2)


def test_costs_do_not_depend_on_the_features_scale():
    a, b = torch.rand(1, 4, 9, 9), torch.rand(1, 4, 9, 9)
    table = offsets(2, 2)
    assert torch.allclose(
        standardised(matching_cost(a, b, table)), standardised(matching_cost(3 * a, 3 * b, table)), atol=1e-4
    )


@pytest.mark.parametrize("finer", [False, True])
def test_a_level_gives_a_velocity_on_the_images_lattice(finer):
    level = MatchingLevel(2, 1, 2, 4, (6, 8), 5, images=3, finer=finer)
    images = [torch.rand(2, 1, 16, 24) for _ in range(3)]
    shape = (32, 48) if finer else (16, 24)
    velocity = level(images, torch.rand(2, 4, *shape), torch.rand(2, 4, *shape))
    assert velocity.shape == (2, 2, 16, 24)
