"""The equivariant method's losses against what they are by definition."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.losses import equivariance as losses


def turned(degrees: float, shift=(0.0, 0.0), scales=(1.0, 1.0)) -> torch.Tensor:
    a = math.radians(degrees)
    m = torch.eye(3)
    m[:2, :2] = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) @ torch.diag(
        torch.tensor(scales)
    )
    m[:2, 2] = torch.tensor(shift)
    return m[None]


@pytest.mark.parametrize("norm", [losses.frobenius, lambda m: losses.grid(m, losses.grid_points(torch.ones(2)))])
def test_an_equivariant_answer_costs_nothing_and_another_one_does(norm):
    b, plain = turned(70, (0.3, -0.2), (1.3, 0.7)), turned(10, (0.1, 0.0))
    moved = torch.linalg.inv(b) @ plain  # R(I o B) = B^-1 R(I)
    assert losses.equivariance(moved, b, plain, norm) < 1e-4
    assert losses.equivariance(plain @ torch.linalg.inv(b), b, plain, norm) > 0.02  # the other order
    assert losses.reference(torch.linalg.inv(b), b, norm) < 1e-4
    assert losses.reference(b, b, norm) > 0.1


def test_the_grid_norm_is_the_sum_of_nine_distances():
    difference = turned(90, (0.0, 0.5)) - turned(0)
    points = losses.grid_points(torch.tensor([2.0, 1.0]))
    assert points.shape == (9, 3)
    expected = 0.0
    for x in (-2.0, 0.0, 2.0):
        for y in (-1.0, 0.0, 1.0):
            expected += math.hypot(-y - x, x - y + 0.5)
    assert math.isclose(losses.grid(difference, points).item(), expected, rel_tol=1e-5)
    assert losses.grid_points(torch.ones(3)).shape == (27, 4)


def test_size_speaks_only_beyond_four_times_and_a_quarter():
    assert losses.size(turned(30, scales=(3.9, 0.26))) == 0
    assert math.isclose(losses.size(turned(30, scales=(5.0, 0.15))).item(), 1.0 + 0.1, rel_tol=1e-4)


def test_anisotropy_is_the_squared_log_ratio_of_the_stretches():
    assert losses.anisotropy(turned(50, scales=(2.0, 2.0))) < 1e-8
    assert math.isclose(losses.anisotropy(turned(50, scales=(2.0, 0.5))).item(), math.log(4) ** 2, rel_tol=1e-4)


def test_every_loss_has_a_finite_gradient_at_the_identity():
    m = turned(0).requires_grad_()
    points = losses.grid_points(torch.ones(2))
    norm = lambda difference: losses.grid(difference, points)  # noqa: E731
    total = losses.reference(m, turned(0), norm) + losses.size(m) + losses.anisotropy(m)
    total.backward()
    assert torch.isfinite(m.grad).all()
