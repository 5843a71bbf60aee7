"""The dense regressor's fit: exact, robust, and never mirrored; squares and their quarter turns."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.networks.dense_regressor import STRETCH, DenseRegressor, Places, quarter

SHAPE = (33, 28)


def network() -> DenseRegressor:
    torch.manual_seed(0)
    return DenseRegressor((4, 6), SHAPE, 16.5)


def said(dense: DenseRegressor, matrix: torch.Tensor) -> Places:
    x = dense.points @ matrix[:2, :2].T + matrix[:2, 2]
    flat = torch.zeros(1, len(x))
    return Places(x[None], flat - 3, flat + 2, torch.full((1,), 3.0))


def test_every_block_of_four_pixels_gets_an_answer():
    dense = network()
    out = dense.places(torch.rand(3, 1, dense.side, dense.side))
    assert dense.side == 40 and dense.points.shape == (100, 2)
    assert out.coordinates.shape == (3, 100, 2) and out.spread.shape == out.head.shape == (3, 100)
    assert torch.allclose(dense.points[0], torch.full((2,), (1.5 - 19.5) / 16.5))  # middle of the first block


def test_the_map_is_that_of_the_places_even_where_some_went_astray():
    dense = network()
    a = math.radians(40)
    truth = torch.tensor([[1.2 * math.cos(a), -math.sin(a), 0.3], [1.2 * math.sin(a), math.cos(a), -0.2], [0, 0, 1]])
    places = said(dense, truth)
    found, doubt = dense.maps(places)
    assert torch.allclose(found[0], truth, atol=5e-3) and doubt < 0.1
    places.coordinates[:, ::5] += 2.0
    found, astray = dense.maps(places)
    assert torch.allclose(found[0], truth, atol=0.05) and astray > 0.5


def test_whatever_the_network_says_the_map_is_not_mirrored():
    dense = network()
    generator = torch.Generator().manual_seed(1)
    none = torch.zeros(200, 100)
    wild = Places(torch.randn(200, 100, 2, generator=generator), none, none, torch.zeros(200))
    mirror = said(dense, torch.diag(torch.tensor([-1.0, 1.0, 1.0])))
    for places in (wild, mirror):
        linear = dense.maps(places)[0][:, :2, :2]
        assert (torch.linalg.det(linear) > 0).all()
        assert torch.linalg.svdvals(linear).min() > STRETCH[0] * 0.999


@pytest.mark.parametrize("shape", [(33, 28), (32, 40), (25, 33)])
def test_a_pixel_of_a_square_lies_where_the_shift_says(shape):
    dense = network()
    image = torch.zeros(1, 1, *shape)
    image[0, 0, 3, 7] = 1
    square, shift = dense.squared(image)
    row, column = square[0, 0].nonzero()[0].tolist()
    middle = (dense.side - 1) / 2
    x = torch.tensor([(column - middle) / 16.5, (row - middle) / 16.5, 1.0])
    expected = torch.tensor([(7 - (shape[1] - 1) / 2) / 16.5, (3 - (shape[0] - 1) / 2) / 16.5, 1.0])
    assert torch.allclose(shift @ x, expected, atol=1e-6)


@pytest.mark.parametrize("turns", range(-1, 4))
def test_a_quarter_turn_shows_what_lies_at_its_matrix(turns):
    square = torch.arange(25.0).reshape(5, 5)
    turned = torch.rot90(square, turns, (-2, -1))
    for row, column in ((0, 1), (4, 3), (2, 2)):
        i, j, _ = (quarter(turns) @ torch.tensor([column - 2.0, row - 2.0, 1.0])).round().long().tolist()
        assert turned[row, column] == square[j + 2, i + 2]
