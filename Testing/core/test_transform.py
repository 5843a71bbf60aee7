"""Affine, DenseField and Composite map points as SimpleITK's transforms do, inside and outside their lattices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lattices import (
    LATTICES,
    LATTICES_2D,
    LATTICES_3D,
    SOLID,
    affine_near,
    near,
    sitk_transform,
    smooth_field,
    transforms_near,
)

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, InputError, Transform, folds

every_solid_lattice = pytest.mark.parametrize("grid", SOLID.values(), ids=SOLID.keys())
every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())
every_kind = pytest.mark.parametrize("kind", ["affine", "dense", "composite"])


def simpleitk_points(transform: Transform, points: np.ndarray) -> np.ndarray:
    theirs = sitk_transform(transform)
    return np.array([theirs.TransformPoint(p) for p in points.tolist()])


def scattered(grid: Grid, beyond: float, count: int = 200) -> torch.Tensor:
    """(count, D) points over the lattice, and `beyond` of its extent outside."""
    generator = torch.Generator().manual_seed(5)
    unit = torch.rand((count, grid.dimension), generator=generator, dtype=torch.float64)
    index = (unit - 0.5) * (1 + 2 * beyond) * torch.tensor(grid.size) + (torch.tensor(grid.size) - 1) / 2
    return index @ grid.matrix[:-1, :-1].T + grid.matrix[:-1, -1]


@every_lattice
@every_kind
def test_points_map_as_in_simpleitk_inside_and_outside(grid: Grid, kind: str) -> None:
    transform = transforms_near(grid)[kind]
    points = scattered(grid, 0.5)
    ours = transform.points(points).numpy()
    assert np.abs(ours - simpleitk_points(transform, points.numpy())).max() < 1e-4
    assert np.abs(ours - points.numpy()).max() > 0.5  # it is not the identity that agrees


@every_lattice
@every_kind
def test_displacement_on_a_lattice_is_what_the_points_say(grid: Grid, kind: str) -> None:
    transform = transforms_near(grid)[kind]
    target = near(grid)
    field = transform.displacement(target)
    x = target.points(torch.float64)
    assert field.shape == (grid.dimension, *target.shape)
    assert (torch.movedim(field, 0, -1) - (transform.points(x) - x)).abs().max() < 1e-4


@every_lattice
def test_a_field_moves_nothing_outside_its_lattice(grid: Grid) -> None:
    field = DenseField(Image(torch.full((grid.dimension, *grid.shape), 3.0), grid))
    step = grid.matrix[:-1, 0]
    first = grid.matrix[:-1, -1]
    assert (field.points(first - 0.6 * step) - (first - 0.6 * step)).abs().max() == 0
    assert (field.points(first - 0.4 * step) - (first - 0.4 * step) - 3).abs().max() < 1e-9


@every_lattice
def test_a_closed_field_is_unchanged_inside_and_ends_in_zero(grid: Grid) -> None:
    field = smooth_field(grid)
    closed = field.closed()
    inside = grid.points(torch.float64)
    assert (closed.points(inside) - field.points(inside)).abs().max() < 1e-4
    outermost = closed.field.tensor.abs()
    for axis, n in enumerate(closed.field.grid.size):
        if n == 1:
            continue
        tensor_axis = grid.dimension - axis
        assert outermost.select(tensor_axis, 0).max() == 0 and outermost.select(tensor_axis, -1).max() == 0


@every_solid_lattice
def test_a_closed_field_has_no_jump_and_no_fold(grid: Grid) -> None:
    for amplitude in (1.5, 8.0):
        constant = DenseField(Image(torch.full((grid.dimension, *grid.shape), amplitude), grid)).closed()
        fine = constant.field.grid.cropped((-2,) * grid.dimension, tuple(n + 4 for n in constant.field.grid.size))
        field = constant.displacement(fine)
        for axis in range(grid.dimension):
            jump = field.diff(dim=grid.dimension - axis).abs().max().item()
            assert jump <= 0.75 * grid.spacing[axis] + 1e-4
        assert folds(constant, fine) == 0


def test_a_field_that_is_already_closed_stays_as_it_is() -> None:
    closed = smooth_field(LATTICES_3D["oblique"]).closed()
    assert closed.closed() is closed


@every_lattice
def test_affines_multiply_and_invert_like_matrices(grid: Grid) -> None:
    a, b = affine_near(grid), affine_near(grid, -11, 3)
    points = scattered(grid, 0.5)
    assert ((a @ b).points(points) - a.points(b.points(points))).abs().max() < 1e-8
    assert (a.inverse().points(a.points(points)) - points).abs().max() < 1e-8


@every_lattice
def test_a_composite_moves_by_the_field_first(grid: Grid) -> None:
    dense, affine = smooth_field(near(grid)), affine_near(grid)
    points = scattered(grid, 0.2)
    assert torch.equal(Composite(dense, affine).points(points), affine.points(dense.points(points)))
    other = dense.points(affine.points(points))
    assert (Composite(dense, affine).points(points) - other).abs().max() > 1e-2


def test_points_of_any_shape_are_mapped() -> None:
    for grid in (LATTICES_3D["oblique"], LATTICES_2D["rotated_2d"]):
        transform = Composite(smooth_field(grid), affine_near(grid))
        points = scattered(grid, 0.1, 24)
        flat = transform.points(points)
        assert torch.equal(transform.points(points.reshape(2, 3, 4, -1)).reshape(24, -1), flat)
        # one point and many go through other kernels on some processors, which differ in the last bit
        assert torch.allclose(transform.points(points[0]), flat[0], rtol=0, atol=1e-9)


def test_gradients_reach_a_field_through_points() -> None:
    for grid in (LATTICES_3D["oblique"], LATTICES_2D["rotated_2d"]):
        tensor = smooth_field(grid).field.tensor.clone().requires_grad_()
        DenseField(Image(tensor, grid)).points(scattered(grid, 0.0)).sum().backward()
        assert tensor.grad.sum().item() == pytest.approx(200 * grid.dimension, rel=1e-3)


@pytest.mark.parametrize(
    "matrix, word",
    [
        (torch.zeros(4, 4), "inverted"),
        (torch.full((4, 4), float("nan")), "inverted"),
        (torch.eye(5), "3x3 or 4x4"),
        (torch.eye(4)[:3], "3x3 or 4x4"),
    ],
)
def test_an_affine_that_is_none_is_refused(matrix: torch.Tensor, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Affine(matrix)


def test_parts_of_different_dimension_are_refused() -> None:
    with pytest.raises(InputError, match="2D or all"):
        Composite(smooth_field(LATTICES_3D["identity"]), Affine.identity(2))
    with pytest.raises(InputError, match="as many components"):
        DenseField(Image(torch.zeros(2, 10, 12, 14), LATTICES_3D["identity"]))
