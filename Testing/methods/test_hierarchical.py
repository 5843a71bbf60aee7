"""The hierarchical method's composition, outputs and independence of cases."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.warp import enlarge, integrate, warp

SETTINGS = {"widths": [4, 6, 8], "mask_width": 4, "mask_code": 8, "steps": 5}
SHAPES = {2: (32, 24), 3: (16, 24, 16)}


def tiny(dimension: int, scale: float = 30.0):
    """An untrained network whose fields are large enough to tell orders of composition apart."""
    torch.manual_seed(dimension)
    method = build("hierarchical", dimension, SETTINGS).eval()
    for net in (method.g1, method.g3):
        torch.nn.init.normal_(net.head.weight, 0, 1e-3 * scale)
        torch.nn.init.normal_(net.head.bias, 0, 0.3)
    return method


def smooth(channels_and_shape: tuple[int, ...], seed: int, size: float) -> torch.Tensor:
    channels, *shape = channels_and_shape
    drawn = torch.randn(1, channels, *[3] * len(shape), generator=torch.Generator().manual_seed(seed)) * size
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return torch.nn.functional.interpolate(drawn, size=shape, mode=mode, align_corners=True)


@pytest.mark.parametrize("dimension", [2, 3])
def test_outputs_have_the_promised_shapes(dimension):
    shape = SHAPES[dimension]
    fixed, moving = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    out = tiny(dimension)(fixed, moving, translate=True)
    assert out.displacement.shape == (2, dimension, *shape)
    assert out.translated.shape == (2, 1, *shape)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_fine_field_is_applied_before_the_coarse_one(dimension):
    """phi = phi0 o phi1: warping by the whole equals warping by phi0 first and the result by phi1."""
    method, shape = tiny(dimension), SHAPES[dimension]
    half = tuple(n // 2 for n in shape)
    velocities = [smooth((dimension, *half), seed, 2.5) for seed in (1, 2)]
    method.coarse_velocity = lambda fixed, moving: velocities[0]
    method.fine_velocity = lambda fixed, aligned, translated: velocities[1]
    moving = smooth((1, *shape), 3, 1.0)
    with torch.no_grad():
        whole = method(torch.rand(1, 1, *shape), moving).displacement
    u0, u1 = (enlarge(integrate(v, 5), shape) for v in velocities)
    inner = (slice(None), slice(None), *[slice(4, -4)] * dimension)
    right, wrong = warp(warp(moving, u0), u1), warp(warp(moving, u1), u0)
    result = warp(moving, whole)
    assert (result - right)[inner].abs().mean() < 0.2 * (result - wrong)[inner].abs().mean()


def test_one_stage_is_the_first_network_alone():
    method = tiny(2)
    fixed, moving = torch.rand(1, 1, 32, 24), torch.rand(1, 1, 32, 24)
    with torch.no_grad():
        alone = method(fixed, moving, stages=1)
        expected = enlarge(integrate(method.coarse_velocity(fixed, moving), 5), (32, 24))
    assert torch.equal(alone.displacement, expected) and alone.translated is None


def test_a_case_does_not_depend_on_the_one_before_it():
    method = tiny(3)
    a, b = [torch.rand(1, 1, 16, 24, 16, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    with torch.no_grad():
        alone = method(a, b).displacement
        method(b, a)
        again = method(a, b).displacement
    assert torch.equal(alone, again)


def test_slices_of_a_batch_do_not_see_each_other():
    method = tiny(2)
    fixed, moving = torch.rand(3, 1, 32, 24), torch.rand(3, 1, 32, 24)
    with torch.no_grad():
        together = method(fixed, moving).displacement
        alone = method(fixed[1:2], moving[1:2]).displacement
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_an_unknown_method_or_setting_is_a_sentence():
    with pytest.raises(InputError, match="is not one of"):
        build("nosuch", 2)
    with pytest.raises(InputError, match="do not fit"):
        build("hierarchical", 2, {"colour": 1})


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_first_network_at_half_the_resolution_moves_by_the_same_distances(dimension):
    """Its velocity lies on a quarter of the lattice: a constant of one voxel there is four voxels of the working
    lattice."""
    method = build("hierarchical", dimension, {**SETTINGS, "coarse_widths": [4, 6]}).eval()
    shape = SHAPES[dimension]
    fixed, moving = torch.rand(1, 1, *shape), torch.rand(1, 1, *shape)
    torch.nn.init.zeros_(method.g1.head.weight)
    torch.nn.init.ones_(method.g1.head.bias)
    assert method.coarse_displacement(fixed, moving).shape == (1, dimension, *[n // 2 for n in shape])
    assert torch.allclose(method(fixed, moving, stages=1).displacement, torch.tensor(4.0), atol=1e-4)
    assert method.multiple == 8
