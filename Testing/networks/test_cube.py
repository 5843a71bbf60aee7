"""The 24 turns of a cube: all different, none mirrored, exact on voxels."""

from __future__ import annotations

import torch

from DeepMultiModalRegLib.networks.cube import cube_turns, turned


def test_there_are_24_different_turns_and_no_mirror():
    turns = cube_turns()
    assert turns.shape == (24, 3, 3) and len(turns.flatten(1).unique(dim=0)) == 24
    assert torch.allclose(torch.linalg.det(turns), torch.ones(24))
    assert torch.equal(turns[0], torch.eye(3))


def test_a_turned_volume_is_the_volume_read_at_turned_indices():
    n = 4
    volume = torch.rand(2, 3, n, n, n, generator=torch.Generator().manual_seed(0))
    line = torch.arange(n) - (n - 1) / 2
    index = torch.stack(torch.meshgrid(line, line, line, indexing="ij")[::-1], -1)  # I, J, K
    for turn in cube_turns():
        i, j, k = ((index @ turn.T) + (n - 1) / 2).round().long().unbind(-1)
        assert torch.equal(turned(volume, turn), volume[..., k, j, i])
