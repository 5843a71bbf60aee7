"""The depthwise convolution is PyTorch's, gradients and all."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from DeepMultiModalRegLib.networks.depthwise import depthwise


@pytest.mark.parametrize(("shape", "sides"), [((9, 7), (5, 3)), ((5, 6, 4), (3, 5, 3))])
def test_values_and_gradients_equal_a_grouped_convolutions(shape, sides):
    generator = torch.Generator().manual_seed(0)
    found = []
    for own in (True, False):
        generator.manual_seed(0)
        x = torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64, requires_grad=True)
        kernel = torch.randn(2, 3, *sides, generator=generator, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)
        if own:
            y = depthwise(x, kernel)
        else:
            convolve = F.conv3d if len(shape) == 3 else F.conv2d
            padding = [s // 2 for s in sides]
            y = convolve(x.reshape(1, 6, *shape), kernel.reshape(6, 1, *sides), padding=padding, groups=6)
            y = y.reshape(x.shape)
        (y * weight).sum().backward()
        found.append((y.detach(), x.grad, kernel.grad))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
