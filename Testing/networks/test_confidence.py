"""What weighs a field for its affine part."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.affine_field import affine_part
from DeepMultiModalRegLib.networks.confidence import Confidence

LEVEL = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4}
SETTINGS = {"levels": [LEVEL], "steps": 4, "width": 4, "blocks": 1, "registration": "affine", "looks": 2}


@pytest.mark.parametrize(("dimension", "shape"), [(2, (16, 18)), (3, (16, 18, 20))])
def test_all_weights_are_one_at_first_and_positive_and_bounded_whatever_it_learns(dimension, shape):
    torch.manual_seed(0)
    network = Confidence(dimension, 4)
    images, field = [torch.rand(2, 1, *shape) for _ in range(3)], torch.randn(2, dimension, *shape)
    assert torch.equal(network(images, field), torch.ones(2, 1, *shape))
    torch.nn.init.normal_(network.last.weight, 0, 50.0)
    weights = network(images, field)
    assert 0 < weights.min() < 0.1 and 10 < weights.max() < 21


def test_before_training_the_answer_is_that_of_the_head_alone():
    found = []
    for width in (0, 4):
        torch.manual_seed(0)
        method = build("nemar", 2, {**SETTINGS, "confidence": width}).eval()
        with torch.no_grad():
            method.registration.levels[0].unet.head.bias.copy_(torch.tensor([1.0, -0.5]))
        images = torch.rand(2, 1, 1, 32, 32, generator=torch.Generator().manual_seed(2))
        found.append(method(*images).displacement)
    assert found[0].abs().max() > 0.1
    assert torch.allclose(*found, atol=1e-4)


def test_it_learns_to_leave_out_where_the_field_is_wrong():
    """Right where the images are bright, nothing where they are dark."""
    torch.manual_seed(0)
    network = Confidence(2, 8)
    bright = torch.zeros(4, 1, 32, 32)
    for n in range(4):
        bright[n, :, :, 8 * n : 8 * n + 8] = 1.0
    truth = torch.full((4, 2, 32, 32), 3.0)
    field = truth * bright
    images = [0.1 + 0.9 * bright] * 3
    still = float((affine_part(field, torch.ones_like(bright)) - truth).abs().mean())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        off = (affine_part(field, network(images, field)) - truth).abs().mean()
        optimizer.zero_grad()
        off.backward()
        optimizer.step()
    assert off < 0.4 * still, f"{still:.2f} pixels, then {off:.2f}"
