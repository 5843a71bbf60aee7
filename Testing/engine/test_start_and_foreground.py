"""First alignment and what it rests on: foreground, background, centres of mass; and the averaging before a coarse
lattice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fakes import phantom
from lattices import make_grid, rotation

from DeepMultiModalRegLib.core import Affine, Image, resample
from DeepMultiModalRegLib.engine.body import body_points, box, covered
from DeepMultiModalRegLib.engine.foreground import background, foreground, thinned, threshold
from DeepMultiModalRegLib.engine.intensity import intensity_range, normalise
from DeepMultiModalRegLib.engine.reduce import averaged
from DeepMultiModalRegLib.engine.similarity import nmi
from DeepMultiModalRegLib.engine.start import first_alignment

GRID = make_grid((44, 40, 36), (2, 2.1, 1.9), (30, -60, 12), rotation(8, -5, 20))


def noisy(image: Image, sigma: float) -> Image:
    """Rician noise, as in the air of a magnitude image."""
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(image.tensor.shape, generator=generator) * sigma for _ in range(2))
    return Image(((image.tensor + a) ** 2 + b**2).sqrt(), image.grid)


IMAGES = {
    "skull_stripped": phantom(GRID),
    "air_noise": noisy(phantom(GRID), 30.0),
    "ct": phantom(GRID, background=-1000.0, height=200.0),
    "offset": Image(phantom(GRID).tensor + 5000, GRID),
    "eight_bit": Image((phantom(GRID).tensor / 4).to(torch.uint8), GRID),
    "zero_mean": Image((phantom(GRID).tensor - 100) / 250, GRID),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_foreground_is_the_body_in_every_kind_of_image(name):
    body = phantom(GRID).tensor[0] > 300
    found = foreground(IMAGES[name])
    overlap = 2 * (found & body).sum() / (found.sum() + body.sum())
    assert overlap > 0.85


@pytest.mark.parametrize("name", IMAGES)
def test_moments_find_a_shift_in_every_kind_of_image(name):
    shift = torch.tensor([14.0, -9.0, 6.0], dtype=torch.float64)
    far = make_grid((50, 44, 40), (1.8, 2, 2), (300, 200, -100), rotation(-20, 10, 5))
    moving = phantom(far)
    start = first_alignment(IMAGES[name], moving, "moments", body_points(IMAGES[name]), body_points(moving))
    assert torch.equal(start.linear, torch.eye(3, dtype=torch.float64))  # never a rotation
    expected = far.centre - GRID.centre
    assert (start.translation - expected).norm() < 3.0  # half a voxel of either: both lumps differ in scale
    moved = Image(resample(phantom(GRID), GRID, Affine.from_parts(torch.eye(3), -shift)).tensor, GRID)
    back = first_alignment(phantom(GRID), moved, "moments", body_points(phantom(GRID)), body_points(moved))
    assert (back.translation - shift).norm() < 0.5


def test_centre_brings_the_lattices_middles_together():
    other = make_grid((20, 30, 10), (3, 1, 2), (-7, 8, 9), rotation(40, 0, 10))
    body = torch.zeros(1, 3, dtype=torch.float64)
    start = first_alignment(phantom(GRID), phantom(other), "centre", body, body)
    torch.testing.assert_close(start.points(GRID.centre), other.centre)


def test_specks_of_noise_do_not_stretch_the_body():
    image = phantom(GRID)
    image.tensor[0, 0, 0, 0] = image.tensor[0, -1, -1, -1] = 900.0
    low, high = box(body_points(image))
    clean_low, clean_high = box(body_points(phantom(GRID)))
    assert (low - clean_low).abs().max() < 3 and (high - clean_high).abs().max() < 3


def test_background_is_air_in_ct_zero_in_mr_and_the_border_s_value_where_zero_is_grey():
    assert background(IMAGES["ct"]) == -1000
    padded = IMAGES["ct"].tensor.clone()
    padded[0, 0] = -3024
    assert background(Image(padded, GRID)) == -1024
    assert background(IMAGES["skull_stripped"]) == 0 and background(IMAGES["eight_bit"]) == 0
    assert background(IMAGES["zero_mean"]) == pytest.approx(-0.4)


def test_thinned_voxels_stay_where_they_are():
    image = Image(torch.movedim(GRID.points(torch.float64), -1, 0), GRID)
    sparse = thinned(image, 3000)
    assert sparse.grid.voxels <= 3000
    torch.testing.assert_close(torch.movedim(sparse.tensor, 0, -1), sparse.grid.points(torch.float64))
    thick = make_grid((100, 100, 6), (1, 1, 8), (0, 0, 0), np.eye(3))
    assert thinned(Image(torch.zeros(1, 6, 100, 100), thick), 5000).grid.size[2] == 6


def test_points_of_a_lattice_are_covered_by_it_and_by_no_other():
    points = GRID.points(torch.float64).reshape(-1, 3)
    assert covered(GRID, points).all()
    assert not covered(make_grid((9, 9, 9), (1, 1, 1), (900, 0, 0), np.eye(3)), points).any()


def test_averaging_keeps_positions_and_removes_what_the_coarse_lattice_cannot_hold():
    fine = make_grid((60, 54, 47), (0.5, 0.7, 1.0), (3, 4, 5), rotation(10, 5, -8))
    target = make_grid((12, 12, 12), (2, 2, 2), (0, 0, 0), rotation(10, 5, -8))
    coordinates = Image(torch.movedim(fine.points(torch.float64), -1, 0), fine)
    small = averaged(coordinates, target)
    assert small.grid.spacing == pytest.approx((2.0, 2.1, 2.0))
    inner = (slice(None), slice(0, -1), slice(0, -1), slice(0, -1))  # the last block may be cut off
    expected = torch.movedim(small.grid.points(torch.float32), -1, 0)
    torch.testing.assert_close(small.tensor[inner], expected[inner], atol=1e-4, rtol=0)
    noise = Image(torch.randn(1, *fine.shape, generator=torch.Generator().manual_seed(0)), fine)
    assert averaged(noise, target).tensor.std() < 0.4
    assert averaged(noise, fine).grid == fine


def test_averaging_in_slabs_equals_averaging_at_once(monkeypatch):
    fine = make_grid((20, 18, 31), (0.5, 0.5, 0.5), (0, 0, 0), np.eye(3))
    target = make_grid((8, 8, 8), (1.6, 1.6, 1.6), (0, 0, 0), np.eye(3))
    image = Image(torch.rand(1, *fine.shape, generator=torch.Generator().manual_seed(0)), fine)
    whole = averaged(image, target)
    monkeypatch.setattr("DeepMultiModalRegLib.engine.reduce.SLAB_VOXELS", 20 * 18 * 7)
    assert torch.equal(averaged(image, target).tensor, whole.tensor)


def test_normalise_uses_the_range_that_it_tells():
    values = torch.cat([torch.zeros(5000), torch.linspace(100, 300, 1000)])
    bottom, top = intensity_range(values)
    assert bottom == 0 and 295 < top < 300
    torch.testing.assert_close(normalise(values), ((values - bottom) / (top - bottom)).clamp(0, 1))


def test_nmi_of_an_image_with_itself_is_two_and_of_independent_ones_one():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(200_000, generator=generator), torch.rand(200_000, generator=generator)
    assert nmi(a, a) == pytest.approx(2.0, abs=1e-9)
    assert nmi(a, 1 - a) == pytest.approx(2.0, abs=0.02)  # contrast does not matter
    assert nmi(a, b) == pytest.approx(1.0, abs=0.002)


def test_nmi_equals_its_definition_on_a_table_of_four():
    a = torch.tensor([0.1] * 50 + [0.9] * 50)
    b = torch.tensor([0.1] * 40 + [0.9] * 10 + [0.1] * 10 + [0.9] * 40)
    joint = -sum(p * math.log(p) for p in (0.4, 0.1, 0.1, 0.4))
    assert nmi(a, b, bins=2) == pytest.approx(2 * math.log(2) / joint)


def test_threshold_of_two_levels_lies_between_them():
    values = torch.tensor([10.0] * 700 + [200.0] * 300)
    assert 10 < threshold(values) < 200
