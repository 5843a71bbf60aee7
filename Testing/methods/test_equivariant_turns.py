"""Four turns that compete, by a network that knows near turns and which way is up."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.equivariant_turns import ASTRAY, degrees, find_turn, turned_squares, upright_squares
from DeepMultiModalRegLib.networks.dense_regressor import PIXEL, DenseRegressor, Places
from DeepMultiModalRegLib.networks.posing import moved

SHAPE, UNIT = (45, 40), 22.5
MIRROR = torch.tensor([-1.0, 1.0, 1.0])
SPOTS = torch.tensor([[-0.15, -0.2], [0.2, -0.1], [0.05, 0.25]])  # template, units


def found_by_spots(squares: torch.Tensor, pixel: float, unfolded: bool = False) -> torch.Tensor:
    """(N, 3, 3), square to template, of squares (N, 3, side, side) that show the spots or their mirror image; unfolded:
    then with a negative determinant."""
    side = squares.shape[-1]
    line = (torch.arange(side) - (side - 1) / 2) * pixel
    x = torch.stack([line[None].expand(side, -1), line[:, None].expand(-1, side)], -1)
    mass = squares / squares.sum((2, 3), keepdim=True)
    spots = torch.einsum("ncji,jid->ncd", mass, x)
    ones = torch.ones(len(squares), 3, 1)
    there = torch.cat([SPOTS.expand(len(squares), -1, -1), ones], 2)
    shown = torch.cat([spots, ones], 2)
    plain, mirrored = (torch.linalg.solve(there * side, shown).mT for side in (torch.ones(3), MIRROR))
    if unfolded:
        return torch.linalg.inv(plain)
    return torch.linalg.inv(torch.where(torch.det(plain)[:, None, None] > 0, plain, mirrored))


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
        self.spread = -3.0

    def places(self, squares: torch.Tensor, again: bool = False) -> Places:
        self.frames.append(squares[:, 3:])
        self.second.append(again)
        found = found_by_spots(squares[:, :3], PIXEL / UNIT)
        angle = degrees(found)
        far = angle > 50
        coordinates = self.points @ found[:, :2, :2].transpose(1, 2) + found[:, None, :2, 2]
        coordinates = coordinates * torch.where(far, -1.0, 1.0)[:, None, None]
        coordinates = coordinates + self.off * (angle > 10)[:, None, None]
        spread = torch.full(coordinates.shape[:2], self.spread)
        words = torch.where(angle < 45, 3.0, -3.0)
        if self.deceived and not again:
            words = torch.where(angle > 135, 4.0, words)
        return Places(coordinates, spread, torch.zeros_like(spread), words)


class Torn(Knowing):
    """Says the same of a head upside down as of one upright."""

    def places(self, squares: torch.Tensor, again: bool = False) -> Places:
        said = super().places(squares, again)
        angle = degrees(found_by_spots(squares[:, :3], PIXEL / UNIT))
        return replace(said, upright=torch.where((angle > 45) & (angle < 135), -3.0, 3.0))


def test_every_turn_is_found_from_near_ones():
    images, b = posed_spots([0, 30, 85, 130, 178, -120, -91, -44])
    with torch.no_grad():
        found, _ = find_turn(Knowing(), images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_the_second_look_speaks_against_a_first_that_was_deceived():
    images, b = posed_spots([10, 100, -150])
    with torch.no_grad():
        found, _ = find_turn(Knowing(deceived=True), images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_what_the_mirrored_image_says_counts_as_much():
    images, b = posed_spots([10, 100, -150])

    class OneSided(Torn):
        """Torn, but for mirrored heads."""

        def places(self, squares, again=False):
            said = super().places(squares, again)
            handed = torch.linalg.slogdet(found_by_spots(squares[:, :3], PIXEL / UNIT, unfolded=True))[0] < 0
            whole = Knowing.places(self, squares, again)
            return replace(said, upright=torch.where(handed, whole.upright, said.upright))

    with torch.no_grad():
        found, doubt = find_turn(OneSided(), images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02 and (doubt < 0.06).all()


def test_looks_after_the_first_correct_it():
    images, b = posed_spots([20, 70, 160, -130])
    network = Knowing(off=0.06)
    with torch.no_grad():
        squares, places = turned_squares(network, images, torch.eye(3).repeat(4, 1, 1))
        assert squares.shape[:2] == places.shape[:2] == (4, 4)
        found, _ = find_turn(network, images, torch.ones_like(images[:, :1]))
    assert (b @ found - torch.eye(3)).abs().max() < 0.02


def test_a_turn_that_another_speaks_nearly_as_much_for_is_doubted():
    images, _ = posed_spots([10, 100, -150])
    frames = torch.ones_like(images[:, :1])
    with torch.no_grad():
        sure, unsure = (find_turn(network, images, frames)[1] for network in (Knowing(), Torn()))
    assert sure.shape == (3,) and (sure < 0.06).all()  # the spread it names, exp(-3), and hardly more
    assert (unsure - sure - ASTRAY / 2).abs().max() < 0.05


def test_a_network_that_expects_its_places_to_be_off_is_doubted_by_as_much():
    images, _ = posed_spots([10, 100])
    network = Knowing()
    network.spread = -1.0
    with torch.no_grad():
        doubt = find_turn(network, images, torch.ones_like(images[:, :1]))[1]
    assert (doubt - math.exp(-1)).abs().max() < 0.02


def test_places_that_no_affine_map_fits_are_doubted():
    network = Knowing()
    drawn = torch.randn(1, len(network.points), 2, generator=torch.Generator().manual_seed(0))
    flat = torch.full((1, len(network.points)), -3.0)
    still, shaken = (
        network.fitted(Places(network.points + size * drawn, flat, flat, flat[:, 0]))[1] for size in (0.0, 0.2)
    )
    assert 0.2 < (shaken - still).item() < 0.4  # root of 2 times 0.2


def test_only_looks_at_what_an_answer_brought_upright_are_second_looks():
    images, _ = posed_spots([20, 160])
    network = Knowing()
    with torch.no_grad():
        find_turn(network, images, torch.ones_like(images[:, :1]))
        assert network.second == [False, True, False, True, True, True]  # of the image, of its mirror image, the last
        find_turn(network, images, torch.ones_like(images[:, :1]), upright=True)
    assert all(network.second[6:])


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
