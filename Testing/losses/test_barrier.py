"""The barrier on mutual information: the paper's logarithm above its threshold, finite below it."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.losses.barrier import information_barrier, scheduled


def test_above_the_threshold_it_is_the_papers_logarithm():
    information = torch.tensor([0.5, 0.8, 1.7])
    expected = [-math.log(i - 0.3) for i in information.tolist()]
    assert information_barrier(information, 0.3).tolist() == pytest.approx(expected, rel=1e-5)


def test_below_the_threshold_it_is_finite_and_pushes_up():
    information = torch.tensor([-2.0, 0.0, 0.3, 0.32], requires_grad=True)
    value = information_barrier(information, 0.3)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.allclose(information.grad, torch.full((4,), -1 / 0.05))
    assert (value.diff() < 0).all()


def test_both_parts_meet_with_one_value_and_one_slope():
    at = torch.tensor([0.35 - 1e-4, 0.35 + 1e-4], dtype=torch.float64, requires_grad=True)
    value = information_barrier(at, 0.3)
    (slope,) = torch.autograd.grad(value.sum(), at)
    assert value[0].item() == pytest.approx(value[1].item(), abs=1e-2)
    assert slope[0].item() == pytest.approx(slope[1].item(), rel=1e-2)


def test_the_threshold_rises_over_the_first_half():
    assert [scheduled(0.2, 0.6, s) for s in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.2, 0.4, 0.6, 0.6])
