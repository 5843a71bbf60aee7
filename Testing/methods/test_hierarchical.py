"""The hierarchical method's composition, outputs and independence of cases."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.matching import composed
from DeepMultiModalRegLib.networks.warp import enlarge, follow, integrate, warp

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
    method.coarse_velocities = lambda fixed, moving: velocities[:1]
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
        expected = enlarge(integrate(method.coarse_velocities(fixed, moving)[0], 5), (32, 24))
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


PYRAMID = {
    "mask_width": 4,
    "mask_code": 8,
    "steps": 5,
    "levels": [
        {"radius": 2, "star": 2, "reduced": 4, "widths": [4], "full": 4},
        {"radius": 1, "star": 2, "reduced": 4, "widths": [4, 6], "full": 4},
    ],
    "fine": {"radius": 1, "star": 2, "reduced": 4, "widths": [4, 6], "full": 4},
}


@pytest.mark.parametrize("dimension", [2, 3])
def test_each_level_of_the_pyramid_moves_by_its_own_voxels(dimension):
    """Working voxels: the first level's are four wide, the second's and G3's two; constant velocities add up."""
    method = build("hierarchical", dimension, PYRAMID).eval()
    shape = SHAPES[dimension]
    fixed, moving = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    for unet, bias in ((method.g1[0].unet, 0.5), (method.g1[1].unet, 0.25), (method.g3.unet, 1.0)):
        torch.nn.init.zeros_(unet.head.weight)
        torch.nn.init.constant_(unet.head.bias, bias)
    with torch.no_grad():
        coarse = method(fixed, moving, stages=1).displacement
        whole = method(fixed, moving, translate=True)
    assert torch.allclose(coarse, torch.tensor(0.5 * 4 + 0.25 * 2), atol=1e-4)
    assert torch.allclose(whole.displacement, torch.tensor(0.5 * 4 + 0.25 * 2 + 1.0 * 2), atol=1e-4)
    assert whole.translated.shape == fixed.shape
    assert method.multiple == 8


@pytest.mark.parametrize("dimension", [2, 3])
def test_velocities_composed_backwards_are_the_inverse(dimension):
    shape = SHAPES[dimension]
    velocities = [smooth((dimension, *[n // 2 for n in shape]), 1, 0.8), smooth((dimension, *shape), 2, 0.8)]
    there, back = composed(velocities, shape, 6), composed(velocities, shape, 6, inverse=True)
    inner = (slice(None), slice(None), *[slice(4, -4)] * dimension)
    assert follow(there, back)[inner].abs().mean() < 0.05 * there[inner].abs().mean()


def test_the_pyramid_trains_every_one_of_its_parameters():
    method = build("hierarchical", 2, PYRAMID)
    for unet in (method.g1[0].unet, method.g1[1].unet):
        torch.nn.init.normal_(unet.head.weight, 0, 0.1)
    fixed, moving = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    composed(method.coarse_velocities(fixed, moving), (16, 16), 5).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.g1.parameters())


def test_a_last_level_of_g1_adds_to_the_levels_before_it():
    last = {"radius": 1, "star": 2, "reduced": 4, "widths": [4, 6], "full": 4}
    method = build("hierarchical", 2, {**PYRAMID, "last": last}).eval()
    for unet, bias in ((method.g1[0].unet, 0.5), (method.g1[1].unet, 0.25), (method.g1_last.unet, 1.0)):
        torch.nn.init.zeros_(unet.head.weight)
        torch.nn.init.constant_(unet.head.bias, bias)
    fixed, moving = torch.rand(2, 1, 32, 24), torch.rand(2, 1, 32, 24)
    with torch.no_grad():
        coarse = method(fixed, moving, stages=1).displacement
    assert torch.allclose(coarse, torch.tensor(0.5 * 4 + 0.25 * 2 + 1.0 * 2), atol=1e-4)


@pytest.mark.parametrize("dimension", [2, 3])
def test_what_will_be_refined_is_the_coarse_field_alone(dimension):
    method, shape = tiny(dimension), SHAPES[dimension]
    images = smooth((1, *shape), 1, 1.0), smooth((1, *shape), 2, 1.0)
    with torch.no_grad():
        out, coarse = method.rough(*images), method(*images, stages=1)
        assert torch.equal(out.displacement, coarse.displacement) and out.translated is None
        assert not torch.allclose(out.displacement, method(*images).displacement, atol=1e-3)
