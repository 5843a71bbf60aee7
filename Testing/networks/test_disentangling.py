"""Content, style, decoder: statistics that half precision and a batch of one leave right, content apart from style."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from DeepMultiModalRegLib.networks.content import shown
from DeepMultiModalRegLib.networks.discriminator import ScaledDiscriminator
from DeepMultiModalRegLib.networks.disentangling import Disentangler
from DeepMultiModalRegLib.networks.statistics import AdaptiveNorm, LayerNorm, standardised

SMALL = {"width": 4, "halvings": 1, "blocks": 1, "code": 5, "style": 3}


def rdm(dimension: int = 2) -> Disentangler:
    torch.manual_seed(0)
    return Disentangler(dimension, **SMALL).eval()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_of_values_that_half_precision_cannot_sum_are_those_of_float32(dtype):
    x = (torch.rand(1, 2, 40, 40) * 100 + 4000).to(dtype)  # the sum is 6 million, and float16 ends at 65504
    gain, bias = torch.full((1, 2), 0.5), torch.full((1, 2), -1.0)
    layer = LayerNorm(2)
    with torch.no_grad():
        expected = (x.double() - x.double().mean((2, 3), keepdim=True)) / x.double().std((2, 3), keepdim=True)
        found = AdaptiveNorm()(x, gain.to(dtype), bias.to(dtype))
        whole = (x.double() - x.double().mean()) / x.double().std()
        by_layer = layer(x)
    assert found.dtype == by_layer.dtype == dtype
    assert torch.allclose(found.double(), expected * 1.5 - 1, atol=0.03)
    assert torch.allclose(by_layer.double(), whole, atol=0.03)


@pytest.mark.parametrize("norm", [lambda x: AdaptiveNorm()(x, torch.zeros(1, 3), torch.ones(1, 3)), LayerNorm(3)])
def test_a_flat_image_and_a_single_voxel_stay_finite_with_a_gradient(norm):
    for shape in ((1, 3, 8, 8), (1, 3, 1, 1)):
        x = torch.full(shape, 7.0, requires_grad=True)
        norm(x).sum().backward()
        assert torch.isfinite(norm(x)).all() and torch.isfinite(x.grad).all()


def test_an_image_is_normalised_as_if_it_were_alone():
    x = torch.rand(3, 4, 8, 8) * torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1, 1)
    gain, bias = torch.rand(3, 4), torch.rand(3, 4)
    together = AdaptiveNorm()(x, gain, bias)
    assert torch.allclose(together[1:2], AdaptiveNorm()(x[1:2], gain[1:2], bias[1:2]), atol=1e-6)
    assert torch.allclose(LayerNorm(4)(x)[2:], LayerNorm(4)(x[2:]), atol=1e-6)


@pytest.mark.parametrize(("dimension", "shape"), [(2, (16, 24)), (3, (8, 16, 8))])
def test_shapes_and_one_image_alone_in_bfloat16(dimension, shape):
    d, image, which = rdm(dimension), torch.rand(1, 1, *shape), torch.tensor([True])
    with torch.no_grad():
        exact = d.decoded(d.content(image, which), d.style(image, which), ~which)
        with torch.autocast("cpu", torch.bfloat16):
            content, style = d.content(image, which), d.style(image, which)
            half = d.decoded(content, style, ~which)
    assert content.shape == (1, 5, *(n // 2 for n in shape)) and style.shape == (1, 3) and half.shape == image.shape
    assert content.dtype == half.dtype == torch.float32
    assert (half - exact).abs().mean() < 0.1 * exact.std()


def test_every_image_of_a_mixed_batch_goes_through_its_own_modality_s_networks():
    d, images = rdm(), torch.rand(4, 1, 16, 16)
    which = torch.tensor([True, False, False, True])
    with torch.no_grad():
        content, style = d.content(images, which), d.style(images, which)
        shown = d.decoded(content, style, which)
        for i in range(4):
            one = images[i : i + 1]
            c, s = d.content_encoders[int(which[i])](one), d.style_encoders[int(which[i])](one)
            assert torch.allclose(content[i : i + 1], c, atol=1e-4) and torch.allclose(style[i : i + 1], s, atol=1e-5)
            assert torch.allclose(shown[i : i + 1], d.decoders[int(which[i])](c, s), atol=1e-4)


def test_style_does_not_tell_where_things_are_and_content_does_not_tell_how_bright():
    d, image, which = rdm(), torch.zeros(1, 1, 64, 64), torch.tensor([False])
    image[..., 28:36, 28:36] = torch.rand(8, 8)
    with torch.no_grad():
        moved = image.roll((4, -4), (2, 3))
        assert torch.allclose(d.style(image, which), d.style(moved, which), atol=1e-5)
        assert not torch.allclose(d.style(image, which), d.style(0.5 * image, which), atol=1e-3)
        content = d.content(image, which)
        assert torch.allclose(content, d.content(0.5 * image, which), atol=0.05)
        assert torch.allclose(content.mean((2, 3)), torch.zeros(1, 5), atol=1e-5)
        assert content[..., 6:, :4].abs().max() == 0 < content[..., 14:18, 14:18].abs().min(), "air has no content"
        assert (content - d.content(moved, which))[..., 13:19, 13:19].abs().mean() > 0.2


def test_the_stored_style_is_the_mean_of_those_remembered():
    d = rdm()
    for _ in range(1500):
        d.remember(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), 1)
    usual = d.usual_style(torch.tensor([True, False]))
    assert torch.allclose(usual, torch.tensor([[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]), atol=1e-4)


def test_the_discriminator_judges_three_scales():
    torch.manual_seed(0)
    judge, x = ScaledDiscriminator(2, 1, 4, 1), torch.rand(2, 1, 32, 32)
    scores = judge(x)
    assert [tuple(s.shape[2:]) for s in scores] == [(14, 14), (6, 6), (2, 2)]
    coarse = torch.nn.functional.avg_pool2d(x, 4)
    assert torch.allclose(scores[2], judge[2](coarse), atol=1e-6)


def test_standardised_over_channels_too_when_asked():
    x = torch.rand(2, 3, 4, 5) * 3
    out = standardised(x, 1)
    assert torch.allclose(out.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(out.square().mean((1, 2, 3)), torch.ones(2), atol=1e-3)


def test_content_is_standardised_over_what_the_slice_shows_gaps_in_it_included():
    d, image, which = rdm(), torch.zeros(1, 1, 64, 64), torch.tensor([False])
    image[..., 10:54, 10:54] = torch.rand(44, 44) + 0.1
    image[..., 30:36, 30:36] = 0  # a dark ventricle
    with torch.no_grad():
        inside = shown(image, 2)
        content = d.content(image, which)
    assert torch.equal(inside, F.pad(torch.ones(1, 1, 22, 22), (5, 5, 5, 5)))
    head = content[..., 5:27, 5:27]
    assert torch.allclose(head.mean((2, 3)), torch.zeros(1, 5), atol=1e-4)
    assert torch.allclose(head.square().mean((2, 3)), torch.ones(1, 5), atol=0.05)
    with torch.no_grad():
        borrowed = d.content(image + 0.05, which, image)  # air that is not black, as a translation's
        assert borrowed[..., 0:4, :].abs().max() == 0 < d.content(image + 0.05, which)[..., 0:4, :].abs().max()
        assert d.content(torch.zeros(1, 1, 64, 64), which).abs().max() == 0
