"""A 3D network that begins as a 2D one."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.networks.pyramid import MatchingLevel
from DeepMultiModalRegLib.networks.translator import AdditiveMask
from DeepMultiModalRegLib.training.initial import lift


def test_a_lifted_network_does_to_every_plane_what_the_planar_one_does():
    torch.manual_seed(0)
    planar, volume = AdditiveMask(2, 6, 8), AdditiveMask(3, 6, 8)
    torch.nn.init.normal_(planar.last.weight)
    with torch.no_grad():
        lift(planar, volume)
        images = [torch.rand(1, 1, 16, 16) for _ in range(3)]
        # the same plane nine times over: the code averaged over the volume is that of the plane
        stacks = [image[:, :, None].expand(1, 1, 9, 16, 16) for image in images]
        assert torch.allclose(volume(*stacks)[:, :, 4], planar(*images), atol=1e-5)


def test_networks_of_other_widths_are_refused():
    with pytest.raises(InputError, match="does not fit"):
        lift(AdditiveMask(2, 6, 8), AdditiveMask(3, 4, 8))


def test_a_level_that_sees_one_image_less_does_with_the_others_what_the_larger_one_did_without_that():
    torch.manual_seed(0)
    sizes = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4, "finer": True}
    large, small = MatchingLevel(2, **sizes, images=3), MatchingLevel(2, **sizes, images=2)
    for p in large.parameters():
        torch.nn.init.normal_(p, 0, 0.3)
    images, features = [torch.rand(1, 1, 16, 16) for _ in range(2)], [torch.rand(1, 3, 32, 32) for _ in range(2)]
    with torch.no_grad():
        lift(large, small)
        blind = large([*images, torch.zeros(1, 1, 16, 16)], *features)
        assert torch.allclose(small(images, *features), blind, atol=1e-5)
        with pytest.raises(InputError, match="does not fit"):
            lift(small, large)
