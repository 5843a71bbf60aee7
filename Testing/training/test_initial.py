"""A 3D network that begins as a 2D one."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
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
