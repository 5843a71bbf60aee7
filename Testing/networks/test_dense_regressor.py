"""The dense regressor's fit: exact, robust, and never mirrored; squares and their quarter turns."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.networks.dense_regressor import (
    BLOCK,
    PIXEL,
    SIDE,
    STRETCH,
    DenseRegressor,
    Places,
    quarter,
)

UNIT = 54.5


def network() -> DenseRegressor:
    torch.manual_seed(0)
    return DenseRegressor((4, 6), UNIT)


def said(dense: DenseRegressor, matrix: torch.Tensor) -> Places:
    x = dense.points @ matrix[:2, :2].T + matrix[:2, 2]
    flat = torch.zeros(1, len(x))
    return Places(x[None], flat - 3, flat + 2, torch.full((1,), 3.0))


def test_every_block_of_four_pixels_gets_an_answer():
    dense = network()
    out = dense.places(torch.rand(3, 2, SIDE, SIDE))
    count = (SIDE // BLOCK) ** 2
    assert dense.points.shape == (count, 2)
    assert out.coordinates.shape == (3, count, 2) and out.spread.shape == out.head.shape == (3, count)
    first = (BLOCK / 2 - SIDE / 2) * PIXEL / UNIT  # middle of the first block
    assert torch.allclose(dense.points[0], torch.full((2,), first))


def test_a_second_look_differs_by_what_was_learned_for_it_alone():
    dense, squares = network(), torch.rand(2, 2, SIDE, SIDE)
    first = dense.places(squares)
    assert torch.equal(first.upright, dense.places(squares, again=True).upright)
    torch.nn.init.normal_(dense.again)
    assert torch.equal(first.upright, dense.places(squares).upright)
    assert not torch.allclose(first.upright, dense.places(squares, again=True).upright)


def test_the_map_is_that_of_the_places_even_where_some_went_astray():
    dense = network()
    a = math.radians(40)
    truth = torch.tensor([[1.2 * math.cos(a), -math.sin(a), 0.3], [1.2 * math.sin(a), math.cos(a), -0.2], [0, 0, 1]])
    places = said(dense, truth)
    assert torch.allclose(dense.maps(places)[0], truth, atol=5e-3)
    places.coordinates[:, ::5] += 2.0
    assert torch.allclose(dense.maps(places)[0], truth, atol=0.05)


def test_whatever_the_network_says_the_map_is_not_mirrored():
    dense = network()
    generator = torch.Generator().manual_seed(1)
    count = len(dense.points)
    none = torch.zeros(200, count)
    wild = Places(torch.randn(200, count, 2, generator=generator), none, none, torch.zeros(200))
    mirror = said(dense, torch.diag(torch.tensor([-1.0, 1.0, 1.0])))
    for places in (wild, mirror):
        linear = dense.maps(places)[:, :2, :2]
        assert (torch.linalg.det(linear) > 0).all()
        assert torch.linalg.svdvals(linear).min() > STRETCH[0] * 0.999


@pytest.mark.parametrize("shape", [(109, 91), (92, 100)])
def test_a_square_shows_the_picture_where_its_view_says(shape):
    dense = network()
    line_j, line_i = (torch.arange(n) - (n - 1) / 2 for n in shape)
    picture = (line_i[None] + 2 * line_j[:, None])[None, None]
    view = torch.tensor([[[0.5, -0.1, 0.02], [0.2, 0.6, -0.05], [0, 0, 1]]])
    square = dense.seen(picture, view)
    blocks = torch.nn.functional.avg_pool2d(square, BLOCK).flatten()
    there = UNIT * (dense.points @ view[0, :2, :2].T + view[0, :2, 2])
    assert square.shape == (1, 1, SIDE, SIDE)
    assert torch.allclose(blocks, there[:, 0] + 2 * there[:, 1], atol=1e-3)


@pytest.mark.parametrize("turns", range(-1, 4))
def test_a_quarter_turn_shows_what_lies_at_its_matrix(turns):
    square = torch.arange(25.0).reshape(5, 5)
    turned = torch.rot90(square, turns, (-2, -1))
    for row, column in ((0, 1), (4, 3), (2, 2)):
        i, j, _ = (quarter(turns) @ torch.tensor([column - 2.0, row - 2.0, 1.0])).round().long().tolist()
        assert turned[row, column] == square[j + 2, i + 2]
