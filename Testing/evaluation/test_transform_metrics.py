"""Displacement errors, folding and consistency against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from lattices import LATTICES_2D, SOLID, random_image, rotation, smooth_field

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, InputError, invert, resample
from DeepMultiModalRegLib.evaluation.consistency import round_trip_errors, warped_disagreement
from DeepMultiModalRegLib.evaluation.displacement import landmark_errors, summary, transform_errors
from DeepMultiModalRegLib.evaluation.folding import folding


def shifted(*mm: float) -> Affine:
    return Affine.from_parts(torch.eye(len(mm), dtype=torch.float64), torch.tensor(mm, dtype=torch.float64))


def test_the_error_of_a_shift_against_the_identity_is_its_length_on_every_lattice(lattice):
    shift = shifted(*[3.0, -4.0, 12.0][: lattice.dimension])
    expected = 13.0 if lattice.dimension == 3 else 5.0
    errors = transform_errors(shift, Affine.identity(lattice.dimension), lattice)
    assert errors.numel() == lattice.voxels
    assert torch.allclose(errors, torch.full_like(errors, expected), atol=1e-3)


def test_the_error_is_measured_inside_the_mask_only():
    grid = Grid.regular((20, 10), 1.0)
    field = torch.zeros(2, *grid.shape)
    field[0, :, :10] = 2.0
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[:, 5:15] = True
    errors = transform_errors(DenseField(Image(field, grid)), Affine.identity(2), grid, mask)
    assert summary(errors)["mean"] == pytest.approx(1.0)
    assert summary(errors)["max"] == pytest.approx(2.0)


def test_landmark_errors_are_distances_after_the_transform(lattice):
    points = lattice.centre + 30 * torch.randn(
        50, lattice.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    d = lattice.dimension
    turn = Affine.from_parts(
        torch.as_tensor(rotation(*[20.0, -10.0, 35.0][: 1 if d == 2 else 3])), torch.ones(d, dtype=torch.float64)
    )
    moved = turn.points(points)
    assert landmark_errors(turn, points, moved).max() < 1e-9
    off = moved.clone()
    off[:, 0] += torch.linspace(0, 7, 50, dtype=torch.float64)
    assert torch.allclose(landmark_errors(turn, points, off), torch.linspace(0, 7, 50, dtype=torch.float64))
    with pytest.raises(InputError, match="pairs"):
        landmark_errors(turn, points, moved[:10])


def test_the_summary_of_errors_is_that_of_an_even_ramp():
    found = summary(torch.linspace(0, 100, 1001))
    assert found == {
        "mean": pytest.approx(50),
        "median": pytest.approx(50),
        "p95": pytest.approx(95),
        "max": pytest.approx(100),
    }
    with pytest.raises(InputError, match="mask is empty"):
        summary(torch.zeros(0))


def test_an_affine_neither_folds_nor_stretches_unevenly_but_a_mirror_folds_everywhere(lattice):
    d = lattice.dimension
    stretch = Affine.from_parts(torch.eye(d, dtype=torch.float64) * 1.3, torch.zeros(d, dtype=torch.float64))
    assert folding(stretch, lattice) == {"folds": 0.0, "log_jacobian_sd": pytest.approx(0.0, abs=1e-6)}
    mirror = torch.eye(d, dtype=torch.float64)
    mirror[0, 0] = -1
    assert folding(Affine.from_parts(mirror, torch.zeros(d, dtype=torch.float64)), lattice)["folds"] == 100.0


def test_folds_and_spread_of_a_field_with_a_known_derivative():
    """u_x = a x on one half and b x on the other: determinants 1 + a and 1 + b."""
    grid = Grid.regular((40, 12, 10), (1.0, 1.5, 2.0))
    x = grid.points()[..., 0]
    for low, high, folds in ((-1.5, 0.2, 50.0), (-0.4, 0.5, 0.0)):
        u = torch.zeros(3, *grid.shape)
        u[0] = torch.where(x < 0, low * x, high * x)
        mask = x.abs() > 1.6  # the kink between both halves left out
        found = folding(DenseField(Image(u, grid)), grid, mask)
        assert found["folds"] == pytest.approx(folds)
        if folds == 0:
            assert found["log_jacobian_sd"] == pytest.approx(abs(math.log(1 + low) - math.log(1 + high)) / 2, rel=1e-4)


@pytest.mark.parametrize("name", SOLID)
def test_folds_and_spread_of_a_stretch_along_an_axis_are_those_of_its_halves_on_every_lattice(name):
    """Along the first index axis, wherever that points: determinant 1 + low on one side of the middle, 1 + high on the
    other; 1.3 to the power of the dimension more after an affine stretch."""
    grid = SOLID[name]
    d = grid.dimension
    n = grid.matrix[:-1, 0] / grid.spacing[0]
    along = (grid.points(torch.float64) - grid.centre) @ n
    mask = along.abs() > 1.1 * grid.spacing[0]  # the kink left out
    ahead = along > grid.spacing[0] * 2
    affine = Affine.from_parts(1.3 * torch.eye(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64))
    for low, high in ((-1.5, 0.2), (-0.4, 0.5)):
        where = mask & (ahead | (along < 0))  # sides of different sizes: a swap of them would show
        u = torch.where(along < 0, low * along, high * along)[None] * n.reshape(d, *[1] * d)
        found = folding(Composite(DenseField(Image(u.float(), grid)), affine), grid, where)
        share = ahead.sum().item() / where.sum().item()
        if low < -1:
            assert found == {"folds": pytest.approx(100 * (1 - share)), "log_jacobian_sd": pytest.approx(0, abs=1e-3)}
        else:
            spread = math.sqrt(share * (1 - share)) * (math.log(1 + high) - math.log(1 + low))
            assert found == {"folds": 0.0, "log_jacobian_sd": pytest.approx(spread, rel=1e-3)}


def test_the_round_trip_of_an_inverse_is_zero_and_that_of_a_wrong_one_its_error(lattice):
    d = lattice.dimension
    shift = shifted(*[1.0, 2.0, 2.0][:d])
    assert round_trip_errors(shift, shift.inverse(), lattice).max() < 1e-3
    wrong = round_trip_errors(shift, Affine.identity(d), lattice)
    assert wrong.mean().item() == pytest.approx(3.0 if d == 3 else math.sqrt(5), abs=1e-3)


def test_the_round_trip_of_a_numerical_inverse_is_small_inside():
    grid = LATTICES_2D["oblique_2d"]
    transform = Composite(smooth_field(grid).closed(), shifted(2.0, -1.0))
    own = transform.dense.field.grid
    inverse, _ = invert(transform, own.cropped((-8, -8), tuple(n + 16 for n in own.size)))
    assert round_trip_errors(transform, inverse, grid).mean() < 0.05
    assert round_trip_errors(transform, transform.affine.inverse(), grid).mean() > 0.2


def test_a_warped_image_that_is_not_the_transforms_is_found_out(lattice):
    moving = random_image(lattice)
    shift = shifted(*[0.7, -0.4, 0.3][: lattice.dimension])
    honest = resample(moving, lattice, shift)
    assert warped_disagreement(honest, moving, shift) == 0.0
    assert warped_disagreement(moving, moving, shift) > 0.01
