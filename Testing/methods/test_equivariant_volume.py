"""The equivariant method in 3D: turns of a cube are given back exactly, sizes do not matter, no answer is mirrored."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.methods import LOCATING, METHODS, build
from DeepMultiModalRegLib.methods.equivariant_volume import EquivariantVolume, block_points
from DeepMultiModalRegLib.networks.cube import cube_turns, turned

SETTINGS = {"size": 32, "widths": [4, 6, 8, 10], "depth": 1}


def method(seed: int = 0) -> EquivariantVolume:
    torch.manual_seed(seed)
    made = build("equivariant_volume", 3, SETTINGS).eval().requires_grad_(False)
    torch.nn.init.normal_(made.locator.head.weight, 0, 0.4)  # untrained, but not shy
    return made


def volumes(count: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 1, 32, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_block_points_are_the_middles_of_blocks_of_two_voxels():
    points = block_points((4, 6, 8), torch.zeros(()))
    assert points.shape == (2 * 3 * 4, 3)
    assert points[0].tolist() == [-3.0, -2.0, -1.0]  # I, J, K of voxels 0 and 1, less the middles 3.5, 2.5, 1.5
    assert points.mean(0).abs().max() < 1e-6


def test_a_scan_gives_every_turn_of_a_cube_back():
    """R(I o B) = B^-1 R(I), exactly, for the 24 turns B."""
    network, x = method(), volumes()
    upright = network.scan(x)
    for turn in cube_turns()[[3, 9, 17, 22]]:
        found = network.scan(turned(x, turn))
        back = torch.eye(4)
        back[:3, :3] = turn
        torch.testing.assert_close(found.matrix, upright.matrix @ back, atol=0.02, rtol=1e-3)
        torch.testing.assert_close(found.doubt, upright.doubt, atol=0.02, rtol=1e-3)


def test_a_scan_is_the_surest_of_24_looks():
    network, x = method(), volumes(1)
    doubts = torch.stack([network.locate(turned(x, turn)).doubt for turn in cube_turns()])
    torch.testing.assert_close(network.scan(x).doubt, doubts.amin(0))
    assert doubts.max() > doubts.min() + 0.1


def test_no_answer_of_any_network_is_mirrored():
    for seed in range(8):
        network = method(seed)
        found = network.locate(torch.cat([turned(volumes(1, seed), turn) for turn in cube_turns()])).matrix
        mirrored = network.locate(volumes(8, seed).flip(-1)).matrix
        assert (torch.linalg.det(torch.cat([found, mirrored])[:, :3, :3]) > 0).all()


def test_as_a_method_for_pairs_it_goes_through_the_template():
    network, x = method(), volumes()
    same = network(x[:1], x[:1]).displacement
    assert same.shape == (1, 3, 32, 32, 32) and same.abs().max() < 0.05
    there, back = (network.scan(v).matrix.double() for v in (x[:1], x[1:]))
    change = torch.linalg.solve(back, there)[0]
    moved = network(x[:1], x[1:]).displacement[0, :, 5, 7, 11]
    index = torch.tensor([11.0, 7.0, 5.0], dtype=torch.float64) - 15.5
    expected = change[:3, :3] @ index + change[:3, 3] - index
    torch.testing.assert_close(moved.double(), expected, atol=0.05, rtol=1e-3)


def test_wrong_settings_are_sentences():
    with pytest.raises(InputError, match="is for volumes"):
        build("equivariant_volume", 2, {})
    with pytest.raises(InputError, match="multiple of 16"):
        build("equivariant_volume", 3, {"size": 40})
    with pytest.raises(InputError, match="do not fit"):
        build("equivariant_volume", 3, {"colour": 1})
    assert set(METHODS) >= LOCATING
