"""Four quarter turns and a second look, by a network that knows near turns exactly and doubts all others."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.equivariant_looks import find
from DeepMultiModalRegLib.networks.dense_regressor import DenseRegressor, Places
from DeepMultiModalRegLib.networks.posing import moved
from DeepMultiModalRegLib.training.equivariant_dense import turned

SHAPE, UNIT = (45, 40), 22.5
SPOTS = torch.tensor([[-0.15, -0.2], [0.2, -0.1], [0.05, 0.25]])  # template, units


class Knowing(DenseRegressor):
    """Reads the pose off three spots, one a channel, and repeats what it says `off` by so much at first sight."""

    def __init__(self, off: float = 0.0, canonical: bool = False) -> None:
        super().__init__((4, 6), SHAPE, UNIT, canonical=canonical)
        self.off = off

    def places(self, squares: torch.Tensor) -> Places:
        line = (torch.arange(self.side) - (self.side - 1) / 2) / UNIT
        x = torch.stack([line[None].expand(self.side, -1), line[:, None].expand(-1, self.side)], -1)
        mass = squares / squares.sum((2, 3), keepdim=True)
        spots = torch.einsum("ncji,jid->ncd", mass, x)
        ones = torch.ones(len(squares), 3, 1)
        there = torch.cat([SPOTS.expand(len(squares), -1, -1), ones], 2)
        to_square = torch.linalg.solve(there, torch.cat([spots, ones], 2)).transpose(1, 2)
        found = torch.linalg.inv(to_square)
        far = turned(found) > 50
        unsure = far | (turned(found) > 10)
        coordinates = self.points @ found[:, :2, :2].transpose(1, 2) + found[:, None, :2, 2]
        coordinates = coordinates * torch.where(far, -1.0, 1.0)[:, None, None] + self.off * unsure[:, None, None]
        spread = torch.where(far, 0.5, torch.where(unsure, -1.0, -4.0))[:, None].expand(-1, len(self.points))
        return Places(coordinates, spread, torch.zeros_like(spread), torch.zeros(len(squares)))


def posed(degrees: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, *SHAPE) I o B and B."""
    line_j, line_i = ((torch.arange(n) - (n - 1) / 2) / UNIT for n in SHAPE)
    x = torch.stack([line_i[None].expand(*SHAPE), line_j[:, None].expand(*SHAPE)], -1)
    image = torch.stack([torch.exp(-(x - spot).square().sum(-1) / 0.004) for spot in SPOTS])
    b = torch.eye(3).repeat(len(degrees), 1, 1)
    for matrix, angle in zip(b, degrees, strict=True):
        a = math.radians(angle)
        matrix[:2, :2] = 1.1 * torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        matrix[:2, 2] = torch.tensor([0.05, -0.08])
    return moved(image.expand(len(b), -1, -1, -1), b, UNIT), b


@pytest.mark.parametrize("canonical", [False, True])
def test_every_turn_is_found_from_near_ones(canonical):
    images, b = posed([0, 30, 85, 130, 178, -120, -91, -44])
    with torch.no_grad():
        found = find(Knowing(canonical=canonical), images, again=0)
        assert torch.equal(find(Knowing(canonical=canonical), images, upright=True), find(Knowing(), images))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_a_second_look_corrects_the_first():
    images, b = posed([20, 70, 160, -130])
    with torch.no_grad():
        first, second = (b @ find(Knowing(off=0.06), images, again=n) - torch.eye(3) for n in (0, 1))
    assert first.abs().amax((1, 2)).min() > 0.04 and second.abs().max() < 0.02


def test_the_method_with_a_dense_head_answers_any_lattice():
    torch.manual_seed(0)
    method = build("equivariant", 2, {"shape": [33, 29], "widths": [4, 6], "head": "dense"}).eval()
    with torch.no_grad():
        r = method.pose(torch.rand(2, 1, 40, 31))
        twins = method(*[torch.rand(1, 1, 33, 29)] * 2).displacement
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = method(*[torch.rand(1, 1, 33, 29)] * 2).displacement
    assert half.dtype == torch.float32 and half.abs().max() < 1e-3
    assert r.shape == (2, 3, 3) and torch.isfinite(r).all() and (torch.linalg.det(r) > 0).all()
    assert twins.abs().max() < 1e-3
