"""Whether features say where one is: right places cost little, displaced and featureless ones what chance costs."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.losses.place import displaced_places, place_contrast

CHANCE = {2: math.log(25), 3: math.log(79)}  # the right place among all


def drawn(dimension: int, size: int = 12) -> torch.Tensor:
    return 2 * torch.randn(2, 8, *(size,) * dimension, generator=torch.Generator().manual_seed(0))


def inside(x: torch.Tensor, margin: int = 4) -> torch.Tensor:
    mask = torch.zeros(len(x), 1, *x.shape[2:])
    mask[(..., *(slice(margin, -margin),) * (x.dim() - 2))] = 1
    return mask


@pytest.mark.parametrize("dimension", [2, 3])
def test_features_that_differ_from_place_to_place_cost_nothing_where_they_meet(dimension):
    a = drawn(dimension)
    met = place_contrast(a, a.clone(), inside(a), torch.Generator().manual_seed(1))
    apart = place_contrast(a, a.roll(1, -1), inside(a), torch.Generator().manual_seed(1))
    assert met < 0.01 and apart > CHANCE[dimension]
    assert len(displaced_places(dimension)) == round(math.exp(CHANCE[dimension]))


@pytest.mark.parametrize("dimension", [2, 3])
def test_features_that_are_the_same_everywhere_cost_what_chance_costs_and_so_does_nothing(dimension):
    a = torch.ones(1, 3, *(12,) * dimension)
    assert place_contrast(a, a, inside(a)) == pytest.approx(CHANCE[dimension], abs=1e-4)
    assert place_contrast(a, a, 0 * inside(a)) == pytest.approx(CHANCE[dimension], abs=1e-4)


def test_smooth_features_cost_more_than_sharp_ones_and_every_axis_is_read():
    sharp = drawn(2, 24)
    smooth = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
    assert place_contrast(smooth, smooth, inside(sharp)) > 1 > place_contrast(sharp, sharp, inside(sharp))
    ramp = torch.zeros(1, 1, 24, 32)
    for axis in (2, 3):  # features that tell one axis alone: a third of the places lie on the same line
        line = torch.arange(ramp.shape[axis], dtype=torch.float32) * 10
        told = ramp + line.reshape([-1 if i == axis else 1 for i in range(4)])
        assert place_contrast(told, told, inside(ramp)) == pytest.approx(math.log(7), abs=0.01)


def test_the_loss_teaches_features_to_tell_places():
    torch.manual_seed(0)
    image = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 32, 32), 3, 1, 1) * 4
    layer = torch.nn.Conv2d(1, 4, 5, padding=2)
    optimizer = torch.optim.Adam(layer.parameters(), 0.02)
    costs = []
    for _ in range(60):
        cost = place_contrast(layer(image), layer(1 - image), inside(image), torch.Generator().manual_seed(0))
        optimizer.zero_grad(), cost.backward(), optimizer.step()
        costs.append(float(cost.detach()))
    assert costs[-1] < 0.7 * costs[0]
