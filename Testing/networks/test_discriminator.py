"""The discriminator of patches."""

from __future__ import annotations

import torch

from DeepMultiModalRegLib.networks.discriminator import EVERY, PatchDiscriminator


def test_a_planar_discriminator_judges_axial_slices_of_volumes_as_it_judges_them_alone():
    torch.manual_seed(0)
    judge, volumes = PatchDiscriminator(2, 2, width=4), torch.rand(2, 2, 9, 32, 40)
    scores = judge(volumes)
    heights = range(0, 9, EVERY)
    assert len(scores) == 2 * len(heights)
    alone = torch.cat([judge(volumes[n : n + 1, :, k]) for n in range(2) for k in heights])
    assert torch.allclose(scores, alone, atol=1e-5)


def test_a_discriminator_of_volumes_sees_them_whole():
    torch.manual_seed(0)
    assert PatchDiscriminator(3, 1, width=2, layers=1)(torch.rand(2, 1, 16, 16, 16)).shape[0] == 2
