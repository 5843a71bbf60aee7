"""The U-Net and the additive translator."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.networks.translator import AdditiveMask
from DeepMultiModalRegLib.networks.unet import UNet


@pytest.mark.parametrize(("dimension", "shape"), [(2, (32, 48)), (3, (16, 32, 16))])
@pytest.mark.parametrize("full", [0, 4])
def test_the_output_has_half_the_resolution_or_all_of_it(dimension, shape, full):
    net = UNet(dimension, 2, 3, (4, 6, 8), full=full)
    expected = shape if full else tuple(n // 2 for n in shape)
    assert net(torch.rand(2, 2, *shape)).shape == (2, 3, *expected)


def test_a_new_network_starts_next_to_the_identity_but_not_on_it():
    torch.manual_seed(0)
    out = UNet(2, 2, 2, (4, 6))(torch.rand(1, 2, 16, 16))
    assert 0 < out.abs().max() < 1e-2


def test_one_output_voxel_lies_over_the_middle_of_its_two_input_voxels():
    """Mirroring the input mirrors the output: a stem that is off by half a voxel would not commute."""
    torch.manual_seed(0)
    net = UNet(2, 1, 1, (4, 6), zero_output=False)
    for p in net.parameters():  # kernels that are their own mirror image
        if p.dim() == 4:
            p.data = (p.data + p.data.flip(-1)) / 2
    x = torch.rand(1, 1, 16, 16)
    assert torch.allclose(net(x.flip(-1)).flip(-1), net(x), atol=1e-5)


def test_the_mask_cannot_see_where_the_fixed_image_has_what():
    """Shuffling the fixed and the aligned image together leaves the mask (its code) as it was, up to the stride's
    sampling: the guard against painting the fixed's anatomy into the translated image."""
    torch.manual_seed(0)
    net = AdditiveMask(2, 8, 16)
    torch.nn.init.normal_(net.last.weight)
    moving, fixed, aligned = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    reference = net(moving, fixed, aligned)
    # a roll by the stride keeps every window of the code's first layer but for the border
    shuffled = net(moving, fixed.roll((8, 12), (-2, -1)), aligned.roll((8, 12), (-2, -1)))
    assert (reference - shuffled).abs().mean() < 0.02 * reference.std()
    other = net(moving.roll(8, -1), fixed, aligned)
    assert (reference - other).abs().mean() > 0.5 * reference.std()
