"""The regressor: its sizes, its fused layer, its identity at the start."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from DeepMultiModalRegLib.networks.regressor import NormSlope, Regressor, homogeneous


def test_the_published_sizes():
    """Six residual layers, 8 to 256 channels, five strides of two: 109x91 ends as 4x3 places of 256 channels."""
    net = Regressor(2, 6, shape=(109, 91))
    assert [layer.body[0].out_channels for layer in net.layers] == [8, 16, 32, 64, 128, 256]
    assert [layer.body[0].stride[0] for layer in net.layers] == [1, 2, 2, 2, 2, 2]
    assert net.layers(torch.rand(1, 1, 109, 91)).shape == (1, 256, 4, 3)
    assert net(torch.rand(2, 1, 109, 91)).shape == (2, 6)


@pytest.mark.parametrize("dimension", [2, 3])
def test_without_a_shape_any_shape_works(dimension):
    net = Regressor(dimension, 12, (4, 6))
    for shape in ((9, 14, 11)[:dimension], (16, 8, 10)[:dimension]):
        assert net(torch.rand(2, 1, *shape)).shape == (2, 12)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_fused_layer_equals_norm_then_slope_with_its_gradients(order):
    torch.manual_seed(0)
    fused = NormSlope()
    torch.nn.init.constant_(fused.slope, 0.3)
    slope = torch.tensor([0.3], requires_grad=True)
    data, weight = torch.randn(3, 5, 7, 6), torch.randn(3, 5, 7, 6)
    a, b = (data.clone().contiguous(memory_format=order).requires_grad_() for _ in "ab")
    got, expected = fused(a), F.prelu(F.instance_norm(b), slope)
    assert torch.allclose(got, expected, atol=1e-5)
    (got * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(fused.slope.grad, slope.grad, atol=1e-4)


def test_it_begins_at_the_identity_but_for_a_little():
    torch.manual_seed(0)
    net = Regressor(2, 6, (4, 8), (20, 20))
    found = homogeneous(net(torch.rand(3, 1, 20, 20)), 2)
    assert (found - torch.eye(3)).abs().max() < 0.3
    assert torch.equal(found[:, 2], torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3))
    assert torch.equal(
        homogeneous(torch.tensor([[1.0, 2, 3, 4, 5, 6]]), 2)[0, :2], torch.tensor([[2.0, 2, 3], [4, 6, 6]])
    )
