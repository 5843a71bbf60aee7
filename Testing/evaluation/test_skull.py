"""The skull's wall: found in CT and MR, and what lays one on the other, on heads drawn by a formula."""

from __future__ import annotations

import pytest
import torch
from heads import WALL, head, stack_grid
from lattices import rotation

from DeepMultiModalRegLib.core import Affine, Image, InputError
from DeepMultiModalRegLib.evaluation.skull import ct_wall, middle_of, mr_wall
from DeepMultiModalRegLib.evaluation.skull_fit import fitted_walls

GRID = stack_grid()
MIDDLE = (63.5, 63.5)  # index of the lattice's middle
X = GRID.points(torch.float64)[3:-3, 32:-32:4, 32:-32:4].reshape(-1, 3)


def posed(scale: tuple[float, float, float], degrees: tuple[float, float, float], shift: tuple[float, ...]) -> Affine:
    linear = torch.as_tensor(rotation(*degrees)).double() * torch.tensor(scale).double()
    return Affine.from_parts(linear, GRID.centre + torch.tensor(shift).double() - linear @ GRID.centre)


def off(found: Affine, truth: Affine) -> tuple[float, float]:
    """Mean mm in the planes and across them."""
    error = found.points(X) - truth.points(X)
    return float(error[:, :2].norm(dim=1).mean()), float(error[:, 2].abs().mean())


def test_the_wall_is_as_thick_in_both_as_it_was_drawn_where_it_is_upright():
    walls = ct_wall(head("CT", GRID), MIDDLE), mr_wall(head("MR", GRID), MIDDLE)
    for wall in walls:
        line = (wall.outer - wall.inner)[len(wall.inner) // 2]
        assert line.isfinite().all() and float((line - WALL).abs().mean()) < 1.5
    between = (walls[0].surface("middle") - walls[1].surface("middle"))[4:-4]
    assert float(between.abs().nanmean()) < 0.8


def test_the_middle_of_the_head_is_found():
    shifted = head("MR", GRID, posed((1, 1, 1), (0, 0, 0), (-14.0, 7.0, 0.0)))
    assert middle_of(shifted) == pytest.approx((63.5 + 8, 63.5 - 4), abs=2.5)


@pytest.mark.parametrize(
    "truth",
    [
        posed((1, 1, 1), (0, 0, 0), (0, 0, 0)),
        posed((0.94, 0.97, 1), (0, 0, 0), (0.5, -1.0, 0)),
        posed((1, 1, 0.95), (2, -2, 3), (2.0, -3.0, 4.0)),
    ],
    ids=["as it is", "another pixel size", "any affine"],
)
def test_the_affine_between_two_stacks_is_found_by_their_skulls_alone(truth):
    ct, mr = head("CT", GRID), head("MR", GRID, truth)
    found = fitted_walls(mr_wall(mr, MIDDLE), ct_wall(ct, MIDDLE))
    plane, across = off(found.affine, truth)
    assert plane < 0.5 and across < 1.0 and found.residual_mm < 0.8
    identity = Affine.identity(3)
    assert plane < 0.3 * off(identity, truth)[0] or off(identity, truth)[0] < 1e-6


def test_bone_that_blooms_moves_the_inner_edge_and_leaves_the_middle():
    ct, mr = head("CT", GRID, bloom_mm=2.0), head("MR", GRID)
    walls = mr_wall(mr, MIDDLE), ct_wall(ct, MIDDLE)
    found = (fitted_walls(*walls, surface).affine for surface in ("middle", "inner"))
    middle, inner = (off(affine, Affine.identity(3))[0] for affine in found)
    assert middle < 0.4 < 0.8 < inner


def test_a_stack_without_a_skull_is_a_sentence():
    blank = Image(torch.full((1, *GRID.shape), 100.0), GRID)
    with pytest.raises(InputError, match="no head"):
        middle_of(Image(torch.zeros((1, *GRID.shape)), GRID))
    with pytest.raises(InputError, match="Too little of the skull"):
        fitted_walls(mr_wall(blank, MIDDLE), ct_wall(head("CT", GRID), MIDDLE))
