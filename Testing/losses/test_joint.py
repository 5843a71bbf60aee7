"""Mutual information from a joint histogram: closed forms, and its gradient against differences."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.losses.joint import joint_information


def test_one_image_that_determines_the_other_has_the_entropy_of_its_levels():
    # four levels, far enough apart that the windows do not touch: ln 4, whatever the levels mean
    fixed = torch.arange(4).repeat(50) * 8
    moving = (torch.tensor([3.0, 0.0, 2.0, 1.0])[fixed // 8] * 8 + 0.0) / 31
    information, _ = joint_information(fixed, moving[None], torch.ones(1, 200), 32)
    assert float(information) == pytest.approx(math.log(4), abs=2e-3)


def test_independent_images_have_no_information_and_weights_of_nought_do_not_count():
    fixed = torch.arange(4).repeat_interleave(40) * 8
    moving = (torch.arange(4).repeat(40) * 8 / 31)[None]
    weight = torch.ones(1, 160)
    assert float(joint_information(fixed, moving, weight, 32)[0]) == pytest.approx(0, abs=1e-4)
    spoiled = torch.cat([moving, torch.rand(1, 90)], 1)
    counted = torch.cat([weight, torch.zeros(1, 90)], 1)
    more, _ = joint_information(torch.cat([fixed, torch.zeros(90, dtype=torch.long)]), spoiled, counted, 32)
    assert float(more) == pytest.approx(0, abs=1e-4)


def test_the_surrogate_s_gradient_is_that_of_the_information():
    generator = torch.Generator().manual_seed(1)
    fixed = torch.randint(16, (400,), generator=generator)
    noise = torch.rand(400, generator=generator)
    moving = ((fixed / 15 * 0.6 + 0.4 * noise) * 0.9 + 0.05)[None].requires_grad_()
    weight = torch.rand(1, 400, generator=generator)
    (gradient,) = torch.autograd.grad(joint_information(fixed, moving, weight, 16)[1].sum(), moving)
    # along a direction that keeps every sample within its pair of bins, where the information is smooth
    direction = torch.randn(1, 400, generator=generator)
    share = (moving.detach() * 15) % 1
    direction = direction * ((share > 0.05) & (share < 0.95))
    step = 1e-3
    ahead, behind = (
        joint_information(fixed, moving.detach() + sign * step * direction, weight, 16)[0] for sign in (1, -1)
    )
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / (2 * step), rel=0.02)


def test_each_row_of_a_batch_is_by_itself():
    generator = torch.Generator().manual_seed(2)
    fixed = torch.randint(8, (100,), generator=generator)
    moving = torch.rand(3, 100, generator=generator)
    weight = torch.rand(3, 100, generator=generator)
    together = joint_information(fixed, moving, weight, 8)[0]
    alone = torch.cat([joint_information(fixed, moving[b : b + 1], weight[b : b + 1], 8)[0] for b in range(3)])
    assert torch.allclose(together, alone, atol=1e-6)
