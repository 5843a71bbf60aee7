"""Losses against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.losses.mutual_information import mutual_information, parzen
from DeepMultiModalRegLib.losses.overlap import soft_dice_loss
from DeepMultiModalRegLib.losses.smoothness import bilateral, diffusion


def test_parzen_memberships_sum_to_one_and_lie_in_two_neighbours():
    m = parzen(torch.tensor([0.0, 0.5, 0.77, 1.0]), 11)
    assert torch.allclose(m.sum(1), torch.ones(4))
    assert ((m > 0).sum(1) <= 2).all()


def test_the_information_of_an_image_with_itself_is_its_entropy():
    """Four equally frequent grey levels that fall on bin centres: H = log 4."""
    a = (torch.arange(4096) % 4).float().reshape(1, 1, 64, 64) / 3 * 0.9 + 0.1
    a = ((a * 31).round() / 31).clamp(0, 1)
    assert mutual_information(a, a, samples=10**6).item() == pytest.approx(math.log(4), abs=1e-3)


def test_independent_images_have_next_to_no_information():
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(1, 1, 256, 256, generator=g), torch.rand(1, 1, 256, 256, generator=g)
    assert mutual_information(a, b, samples=10**6).item() < 0.02


def test_information_does_not_care_which_grey_level_means_what():
    a = (torch.rand(1, 1, 64, 64) * 29 + 1).round() / 31  # neither it nor its negative has background
    assert mutual_information(a, 1 - a, samples=10**6).item() == pytest.approx(
        mutual_information(a, a, samples=10**6).item(), abs=1e-3
    )


def test_information_pulls_both_images():
    a = torch.rand(1, 1, 32, 32, requires_grad=True)
    b = torch.rand(1, 1, 32, 32, requires_grad=True)
    mutual_information(a, b).backward()
    assert a.grad.abs().sum() > 0 and b.grad.abs().sum() > 0


def test_dice_loss_is_zero_for_equal_and_one_for_disjoint_labels():
    a = torch.zeros(1, 2, 40, 40)
    a[:, :, :20] = 1
    assert soft_dice_loss(a, a).item() == pytest.approx(0, abs=1e-6)
    assert soft_dice_loss(a, 1 - a).item() == pytest.approx(1, abs=1e-3)


def test_diffusion_of_a_ramp_is_its_squared_slope():
    ramp = torch.zeros(1, 2, 8, 10)
    ramp[:, 0] = 0.5 * torch.arange(10)
    # one of two components rises along one of two axes
    assert diffusion(ramp).item() == pytest.approx(0.25 / 4)


def test_a_step_of_the_field_costs_less_where_the_image_has_one():
    field, image = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    field[..., 4:] = 1.0
    plain = bilateral(field, image).item()
    assert plain == pytest.approx(diffusion(field).item())
    image[..., 4:] = 0.1
    assert bilateral(field, image).item() == pytest.approx(plain * math.exp(-1))
    assert bilateral(field, image.roll(2, -1)).item() == pytest.approx(plain), "an edge elsewhere helps nobody"
