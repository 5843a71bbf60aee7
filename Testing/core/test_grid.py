"""A Grid places voxels where SimpleITK does, and refuses headers that cannot."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lattices import LATTICES, LATTICES_3D, sitk_image

from DeepMultiModalRegLib.core import Grid, Image, InputError
from DeepMultiModalRegLib.core.grid import affine_points

every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())


def blank(grid: Grid) -> sitk.Image:
    return sitk_image(Image(torch.zeros((1, *grid.shape)), grid))


@every_lattice
def test_voxels_lie_where_simpleitk_puts_them(grid: Grid) -> None:
    image = blank(grid)
    points = grid.points(torch.float64)
    generator = np.random.default_rng(1)
    for _ in range(20):
        index = [int(generator.integers(n)) for n in grid.size]
        expected = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(points[tuple(index[::-1])], expected, atol=1e-9)


@every_lattice
def test_single_precision_points_are_within_a_ten_thousandth_of_a_millimetre(grid: Grid) -> None:
    error = (grid.points(torch.float32).double() - grid.points(torch.float64)).abs().max()
    assert error < 1e-4


@every_lattice
def test_physical_points_map_back_to_the_index_simpleitk_gives(grid: Grid) -> None:
    image = blank(grid)
    d = grid.dimension
    for offset in (0.3, -2.7, 5.1):
        point = grid.centre + offset * torch.arange(1, d + 1, dtype=torch.float64)
        expected = image.TransformPhysicalPointToContinuousIndex(point.tolist())
        np.testing.assert_allclose((grid.inverse_matrix @ torch.cat([point, torch.ones(1)]))[:d], expected, atol=1e-9)


@every_lattice
def test_corners_and_centre_are_those_of_the_lattice(grid: Grid) -> None:
    points = grid.points(torch.float64).reshape(-1, grid.dimension)
    corners = grid.corners()
    assert (corners[:, None] - points[None]).norm(dim=-1).amin(1).max() < 1e-9  # not cdist: it loses digits
    assert len(torch.unique(corners.round(decimals=6), dim=0)) == 2 ** sum(n > 1 for n in grid.size)
    assert (grid.centre - points.mean(0)).abs().max() < 1e-9


@every_lattice
def test_a_cropped_lattice_keeps_its_voxels_in_place(grid: Grid) -> None:
    start = tuple(0 if n == 1 else 2 for n in grid.size)
    size = tuple(1 if n == 1 else n - 4 for n in grid.size)
    part = grid.cropped(start, size).points(torch.float64)
    window = tuple(slice(s, s + n) for s, n in zip(start[::-1], size[::-1], strict=True))
    assert (part - grid.points(torch.float64)[window]).abs().max() < 1e-9


@every_lattice
def test_a_grown_lattice_contains_the_old_one(grid: Grid) -> None:
    grown = grid.cropped((-2,) * grid.dimension, tuple(n + 4 for n in grid.size)).points(torch.float64)
    assert (grown[(slice(2, -2),) * grid.dimension] - grid.points(torch.float64)).abs().max() < 1e-9


@every_lattice
def test_a_respaced_lattice_shares_the_middle_and_covers_the_extent(grid: Grid) -> None:
    coarse = grid.respaced((2.0,) * grid.dimension, multiple=4)
    assert (coarse.centre - grid.centre).abs().max() < 1e-9
    assert bool((coarse.extent >= grid.extent - 1e-9).all())
    assert all(n % 4 == 0 for n in coarse.size) and coarse.spacing == (2.0,) * grid.dimension
    assert bool((coarse.extent - grid.extent < 8.0 + 1e-9).all())


def test_points_in_slabs_are_those_of_the_whole() -> None:
    for grid in LATTICES_3D.values():
        whole = affine_points(grid.matrix, grid.shape, torch.float64)
        for first in range(grid.shape[0]):
            slab = affine_points(grid.matrix, (1, *grid.shape[1:]), torch.float64, first=first)
            assert torch.equal(slab[0], whole[first])


def test_equality_is_of_places_not_of_names() -> None:
    grid = LATTICES_3D["oblique"]
    assert grid.same_as(Grid(grid.size, grid.spacing, grid.origin, grid.direction))
    moved = Grid(grid.size, grid.spacing, tuple(o + 1e-3 for o in grid.origin), grid.direction)
    assert not grid.same_as(moved)
    assert not grid.same_as(grid.cropped((0, 0, 0), tuple(n - 1 for n in grid.size)))


HEADER = {"size": (4, 5, 6), "spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


@pytest.mark.parametrize(
    "change, word",
    [
        ({"spacing": (1, 0, 1)}, "positive"),
        ({"spacing": (1, -2, 1)}, "positive"),
        ({"spacing": (1, float("nan"), 1)}, "not finite"),
        ({"origin": (0, float("inf"), 0)}, "not finite"),
        ({"direction": (1, 0, 0, 1, 0, 0, 0, 0, 1)}, "singular"),
        ({"direction": (0,) * 9}, "singular"),
        ({"size": (4, 0, 6)}, "empty"),
        ({"size": (4, 5)}, "disagree"),
        ({"direction": (1, 0, 0, 1)}, "disagree"),
        ({"size": (4, 5, 6, 7)}, "4 dimensions"),
        ({"size": (4,)}, "1 dimensions"),
    ],
)
def test_a_header_that_cannot_place_voxels_is_refused_with_the_reason(change: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Grid(**{**HEADER, **change})


def test_an_image_whose_voxels_do_not_fit_its_lattice_is_refused() -> None:
    grid = Grid(**HEADER)
    Image(torch.zeros(2, 6, 5, 4), grid)
    with pytest.raises(InputError, match="does not fit"):
        Image(torch.zeros(2, 4, 5, 6), grid)
