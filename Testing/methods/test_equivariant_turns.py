"""Four turns that compete, by a network that knows near turns and which way is up."""

from __future__ import annotations

import math

import torch

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.equivariant_turns import find_turn, turned_squares, upright_squares
from DeepMultiModalRegLib.networks.dense_regressor import PIXEL, DenseRegressor, Places
from DeepMultiModalRegLib.networks.posing import moved
from DeepMultiModalRegLib.training.equivariant_dense import turned

SHAPE, UNIT = (45, 40), 22.5
SPOTS = torch.tensor([[-0.15, -0.2], [0.2, -0.1], [0.05, 0.25]])  # template, units


def found_by_spots(squares: torch.Tensor, pixel: float) -> torch.Tensor:
    """(N, 3, 3), square to template, of squares (N, 3, side, side)."""
    side = squares.shape[-1]
    line = (torch.arange(side) - (side - 1) / 2) * pixel
    x = torch.stack([line[None].expand(side, -1), line[:, None].expand(-1, side)], -1)
    mass = squares / squares.sum((2, 3), keepdim=True)
    spots = torch.einsum("ncji,jid->ncd", mass, x)
    ones = torch.ones(len(squares), 3, 1)
    there = torch.cat([SPOTS.expand(len(squares), -1, -1), ones], 2)
    to_square = torch.linalg.solve(there, torch.cat([spots, ones], 2)).transpose(1, 2)
    return torch.linalg.inv(to_square)


def posed_spots(degrees: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
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


class Knowing(DenseRegressor):
    """Reads the pose off three spots, one a channel; `off` by so much of a view that is turned by over ten degrees; and
    of a view turned by over 50 places are wrong. deceived: in the first look the word for what is turned by about 180
    degrees is the loudest, if only by a little."""

    def __init__(self, off: float = 0.0, deceived: bool = False) -> None:
        super().__init__((4, 6), UNIT)
        self.off, self.deceived, self.frames, self.second = off, deceived, [], []

    def places(self, squares: torch.Tensor, again: bool = False) -> Places:
        self.frames.append(squares[:, 3:])
        self.second.append(again)
        found = found_by_spots(squares[:, :3], PIXEL / UNIT)
        angle = turned(found)
        far = angle > 50
        coordinates = self.points @ found[:, :2, :2].transpose(1, 2) + found[:, None, :2, 2]
        coordinates = coordinates * torch.where(far, -1.0, 1.0)[:, None, None]
        coordinates = coordinates + self.off * (angle > 10)[:, None, None]
        spread = torch.full(coordinates.shape[:2], -3.0)
        words = torch.where(angle < 45, 3.0, -3.0)
        if self.deceived and len(self.frames) == 1:
            words = torch.where(angle > 135, 4.0, words)
        return Places(coordinates, spread, torch.zeros_like(spread), words)


def test_every_turn_is_found_from_near_ones():
    images, b = posed_spots([0, 30, 85, 130, 178, -120, -91, -44])
    with torch.no_grad():
        found = find_turn(Knowing(), images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_the_second_look_speaks_against_a_first_that_was_deceived():
    images, b = posed_spots([10, 100, -150])
    with torch.no_grad():
        found = find_turn(Knowing(deceived=True), images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_looks_after_the_first_correct_it():
    images, b = posed_spots([20, 70, 160, -130])
    network = Knowing(off=0.06)
    with torch.no_grad():
        squares, places = turned_squares(network, images, torch.eye(3).repeat(4, 1, 1))
        assert squares.shape[:2] == places.shape[:2] == (4, 4)
        found = find_turn(network, images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_only_looks_at_what_an_answer_brought_upright_are_second_looks():
    images, _ = posed_spots([20, 160])
    network = Knowing()
    with torch.no_grad():
        find_turn(network, images, torch.ones_like(images[:, :1]))
        assert network.second == [False, True, True, True]
        find_turn(network, images, torch.ones_like(images[:, :1]), upright=True)
    assert all(network.second[4:])


def test_the_network_sees_where_the_picture_ends():
    images, _ = posed_spots([0])
    frames = torch.ones_like(images[:, :1])
    frames[..., :12] = 0
    network = Knowing()
    with torch.no_grad():
        find_turn(network, images, frames, upright=True)
    upright = torch.eye(3)[None]
    part, whole = (upright_squares(network, f, upright)[0][0] for f in (frames, torch.ones_like(frames)))
    assert torch.equal(network.frames[0][0], part) and part.sum() < 0.8 * whole.sum()


def test_the_method_answers_any_lattice_in_full_precision():
    torch.manual_seed(0)
    method = build("equivariant", 2, {"shape": [33, 29], "widths": [4, 6], "head": "dense"}).eval()
    with torch.no_grad():
        r = method.pose(torch.rand(2, 1, 40, 31))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = method(*[torch.rand(1, 1, 33, 29)] * 2).displacement
    assert r.shape == (2, 3, 3) and torch.isfinite(r).all() and (torch.linalg.det(r) > 0).all()
    assert half.dtype == torch.float32
