"""The closed-form affine of predicted places: exact where it can be, robust, and never mirrored."""

from __future__ import annotations

import torch
from lattices import rotation

from DeepMultiModalRegLib.networks.affine_fit import ANISOTROPY, fit_affine

STRETCH = (1.5, 12.0)


def points(count: int = 400, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) * 10


def true_map(scale=(4.0, 5.0, 4.5)) -> torch.Tensor:
    matrix = torch.eye(4)
    turn = torch.tensor(rotation(150, -40, 75)).reshape(3, 3)
    matrix[:3, :3] = (turn @ torch.diag(torch.tensor(scale, dtype=turn.dtype))).float()
    matrix[:3, 3] = torch.tensor([30.0, -12.0, 7.0])
    return matrix


def moved(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return x @ matrix[:3, :3].T + matrix[:3, 3]


def fitted(places: torch.Tensor, x: torch.Tensor, weights: torch.Tensor | None = None):
    weights = torch.ones(places.shape[:2]) if weights is None else weights
    return fit_affine(x, places, weights, STRETCH, 20.0)


def test_exact_places_give_back_the_map_they_came_from():
    x, truth = points(), true_map()
    matrix, residual, share = fitted(moved(truth, x)[None], x)
    assert (moved(matrix[0], x) - moved(truth, x)).norm(dim=1).max() < 0.3  # the fit shrinks by a thousandth
    assert residual[0] < 0.3 and share[0] > 0.99


def test_a_quarter_of_places_gone_astray_does_not_move_the_map():
    x, truth = points(), true_map()
    places = moved(truth, x)[None].clone()
    places[:, ::4] += torch.tensor([150.0, -80.0, 60.0])
    matrix, residual, share = fitted(places, x)
    assert (moved(matrix[0], x) - moved(truth, x)).norm(dim=1).mean() < 2.0
    assert residual[0] > 50 and 0.7 < share[0] < 0.8


def test_places_of_no_weight_do_not_count():
    x, truth = points(), true_map()
    places, weights = moved(truth, x)[None].clone(), torch.ones(1, 400)
    places[:, 200:] = 0
    weights[:, 200:] = 0
    matrix, residual, _ = fitted(places, x, weights)
    assert (moved(matrix[0], x) - moved(truth, x)).norm(dim=1).max() < 0.5
    assert residual[0] < 0.3


def test_whatever_two_hundred_networks_say_the_map_is_not_mirrored():
    generator = torch.Generator().manual_seed(1)
    places = torch.randn(200, 400, 3, generator=generator) * 60
    weights = torch.rand(200, 400, generator=generator)
    matrix, _, _ = fitted(places, points(), weights)
    stretches = torch.linalg.svdvals(matrix[:, :3, :3])
    assert (torch.linalg.det(matrix[:, :3, :3]) > 0).all()
    assert stretches.min() > STRETCH[0] * 0.999 and stretches.max() < STRETCH[1] * 1.001
    assert (stretches[:, 0] / stretches[:, 2]).max() < ANISOTROPY * 1.001


def test_mirrored_places_give_a_turn_not_a_mirror():
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    places = torch.stack([moved(mirror @ true_map((4, 4.5, 5)), points(seed=s)) for s in range(200)])
    for number in range(200):
        matrix, residual, _ = fitted(places[number : number + 1], points(seed=number))
        assert torch.linalg.det(matrix[0, :3, :3]) > 0
        assert residual[0] > 20  # and it says that something is wrong
    unconstrained = torch.linalg.lstsq(torch.cat([points(seed=0), torch.ones(400, 1)], 1), places[0]).solution[:3]
    assert torch.linalg.det(unconstrained) < 0, "the places are mirrored"


def test_the_fit_teaches_the_places():
    x = points()
    places = (moved(true_map(), x)[None] + 5).requires_grad_(True)
    matrix, _, _ = fitted(places, x)
    matrix[0, :3, 3].sum().backward()
    assert torch.isfinite(places.grad).all() and places.grad.abs().sum() > 0
