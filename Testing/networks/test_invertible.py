"""The invertible translator: its inverse is exact, and the frugal backward pass gives autograd's gradients."""

from __future__ import annotations

import copy

import pytest
import torch

from DeepMultiModalRegLib.networks.invertible import DynamicDepthwise, InvertibleMix, InvertibleTranslator


def translator(dimension: int, seed: int = 0, **options) -> InvertibleTranslator:
    torch.manual_seed(seed)
    net = InvertibleTranslator(dimension, **{"blocks": 4, "growth": 6, "side": 5, **options})
    with torch.no_grad():  # far from where it begins, as a trained one is
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    return net


@pytest.mark.parametrize(("dimension", "shape"), [(2, (40, 33)), (3, (12, 14, 10))])
def test_the_inverse_brings_both_channels_back_to_four_digits(dimension, shape):
    net = translator(dimension, blocks=8)
    x = torch.rand(3, 2, *shape)
    with torch.no_grad():
        y = net.pair(x)
        assert (y - x).abs().max() > 0.1, "it does nothing"
        assert (net.pair(y, inverse=True) - x).abs().max() < 1e-4
        assert (net.pair(net.pair(x, inverse=True)) - x).abs().max() < 1e-4


def test_the_mix_equals_its_matrix_and_never_nears_a_singular_one():
    mix = InvertibleMix()
    with torch.no_grad():
        mix.scale.fill_(-50.0)
        x = torch.randn(1, 2, 5, 5)
        assert torch.linalg.det(mix.matrix()).abs() > 0.3
        assert torch.allclose(mix(x)[0, :, 2, 3], mix.matrix() @ x[0, :, 2, 3], atol=1e-6)
        assert torch.allclose(mix.undo(mix(x)), x, atol=1e-5)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("dimension", [2, 3])
def test_the_frugal_backward_pass_gives_the_gradients_of_autograd(dimension, inverse):
    plain = translator(dimension)
    frugal = copy.deepcopy(plain)
    frugal.frugal = True
    shape = (9, 11) if dimension == 2 else (5, 6, 7)
    gradients = []
    for net in (plain, frugal):
        x = torch.rand(2, 2, *shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
        net.pair(x, inverse).square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in net.parameters())])
    for a, b in zip(*gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max()) + 1e-7)


def test_the_frugal_backward_pass_keeps_one_activation_whatever_the_number_of_blocks():
    kept = {}
    for frugal in (False, True):
        for blocks in (2, 6):
            net = translator(2, blocks=blocks, frugal=frugal)
            seen: list[int] = []
            with torch.autograd.graph.saved_tensors_hooks(lambda t, to=seen: (to.append(t.numel()), t)[1], lambda t: t):
                net.pair(torch.rand(1, 2, 32, 32)).sum()
            kept[frugal, blocks] = sum(seen)
    assert kept[True, 6] == kept[True, 2] == 2 * 32 * 32
    assert kept[False, 6] > 2.5 * kept[False, 2]


def test_the_attention_applies_each_images_own_kernels():
    torch.manual_seed(0)
    attention = DynamicDepthwise(2, 3, 5, 16)
    with torch.no_grad():
        attention.kernel[-1].weight.mul_(30)
        x = torch.rand(2, 3, 16, 16) * torch.tensor([0.2, 1.0]).reshape(2, 1, 1, 1)
        together = attention(x)
        for number in range(2):
            assert torch.allclose(attention(x[number : number + 1])[0], together[number], atol=1e-5)
        assert (attention.kernel(x.mean((2, 3)))[0] - attention.kernel(x.mean((2, 3)))[1]).abs().max() > 1e-3


def test_batches_do_not_change_an_images_translation():
    net = translator(2)
    x = torch.rand(3, 1, 24, 24)
    with torch.no_grad():
        assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-6)
        assert net(x).shape == x.shape
