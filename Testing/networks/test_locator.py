"""The network that says of each voxel where it lies."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.networks.locator import Locator

WIDTHS = (4, 6, 8, 10)


@pytest.mark.parametrize("shape", [(32, 32, 32), (48, 32, 64)])
def test_every_block_of_two_voxels_gets_an_answer(shape):
    out = Locator(WIDTHS)(torch.rand(2, 1, *shape))
    assert out.shape == (2, Locator.OUTPUTS, *(n // 2 for n in shape))
    assert torch.isfinite(out).all()


def test_every_answer_sees_the_whole_volume():
    torch.manual_seed(0)
    network = Locator(WIDTHS)
    volume = torch.rand(1, 1, 32, 32, 32, requires_grad=True)
    network(volume)[0, 0, 0, 0, 0].backward()
    assert volume.grad[0, 0, -2:, -2:, -2:].abs().max() > 0


def test_half_precision_gradients_are_those_of_float32():
    """On 2x2x2 voxels oneDNN's bfloat16 gradients are garbage: the deepest level must stay out of autocast."""
    torch.manual_seed(0)
    network = Locator((8, 16, 32, 48))
    volume, pull = torch.rand(6, 1, 32, 32, 32), torch.randn(6, Locator.OUTPUTS, 16, 16, 16)
    gradients = []
    for half in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = network(volume)
        (out.float() * pull).mean().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    for name, exact in gradients[0].items():
        if "weight" in name and exact.dim() == 5:
            assert (gradients[1][name] - exact).norm() < 0.6 * exact.norm(), name
