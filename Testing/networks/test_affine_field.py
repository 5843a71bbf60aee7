"""The affine part of a field."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.networks.affine_field import affine_part
from DeepMultiModalRegLib.networks.warp import identity


def affine_displacement(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    d = len(shape)
    x = identity(shape, torch.device("cpu"))[0]
    linear, shift = 0.1 * torch.randn(d, d, generator=generator), torch.randn(d, generator=generator)
    return (x @ linear + shift).movedim(-1, 0)[None]


@pytest.mark.parametrize("shape", [(20, 30), (12, 9, 15)])
def test_an_affine_displacement_is_its_own_affine_part(shape):
    u = affine_displacement(shape)
    assert torch.allclose(affine_part(u, torch.ones(1, 1, *shape)), u, atol=0.02)


def test_only_what_has_weight_counts():
    u = affine_displacement((24, 24))
    spoilt = u.clone()
    spoilt[..., :8] += 30 * torch.randn(1, 2, 24, 8)
    weight = torch.ones(1, 1, 24, 24)
    weight[..., :8] = 0
    assert torch.allclose(affine_part(spoilt, weight), u, atol=0.05)


def test_a_ripple_leaves_no_affine_part_and_no_weight_is_no_displacement():
    ripple = torch.sin(identity((64, 64), torch.device("cpu")) * torch.pi / 2).movedim(-1, 1)
    assert affine_part(ripple, torch.ones(1, 1, 64, 64)).abs().max() < 0.1
    assert affine_part(ripple, torch.zeros(1, 1, 64, 64)).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(20, 30), (12, 9, 15)])
def test_the_inverse_leads_back(shape):
    u = affine_displacement(shape)
    back = affine_part(u, torch.ones(1, 1, *shape), inverse=True)
    x = identity(shape, torch.device("cpu"))[0]
    ones = torch.ones_like(x[..., :1])
    linear = torch.linalg.lstsq(torch.cat([x, ones], -1).flatten(0, -2), u[0].flatten(1).T).solution
    y = x + back[0].movedim(0, -1)
    again = y + torch.cat([y, ones], -1) @ linear
    assert (again - x).abs().max() < 0.05
