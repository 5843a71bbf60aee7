"""compose is the chain of its parts; invert undoes, and says how well."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lattices import LATTICES, SOLID, affine_near, near, sitk_transform, smooth_field, transforms_near

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, InputError, compose, halfway, invert

every_solid_lattice = pytest.mark.parametrize("grid", SOLID.values(), ids=SOLID.keys())
every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())
every_kind = pytest.mark.parametrize("kind", ["affine", "dense", "composite"])


@every_lattice
@every_kind
@pytest.mark.parametrize("inner_kind", ["affine", "dense", "composite"])
def test_composition_is_one_after_the_other_at_the_lattices_voxels(grid: Grid, kind: str, inner_kind: str) -> None:
    outer, inner = transforms_near(grid)[kind], transforms_near(near(grid), -11)[inner_kind]
    x = grid.points(torch.float64)
    chain = outer.points(inner.points(x))
    assert (compose(outer, inner, grid).points(x) - chain).abs().max() < 1e-4
    assert (chain - inner.points(outer.points(x))).abs().max() > 1e-3  # the order matters here


@every_lattice
def test_composition_agrees_with_simpleitk(grid: Grid) -> None:
    outer, inner = transforms_near(grid)["composite"], transforms_near(near(grid))["composite"]
    composed = compose(outer, inner, grid)
    theirs = sitk.CompositeTransform([sitk_transform(outer), sitk_transform(inner)])
    x = grid.points(torch.float64).reshape(-1, grid.dimension)[::7]
    expected = np.array([theirs.TransformPoint(p) for p in x.tolist()])
    assert np.abs(composed.points(x).numpy() - expected).max() < 1e-4


@every_lattice
def test_composition_of_affines_stays_affine_and_with_an_inner_field_stays_exact(grid: Grid) -> None:
    a, b = affine_near(grid), affine_near(grid, -9, 2)
    assert isinstance(compose(a, b, grid), Affine)
    dense = smooth_field(near(grid))
    composed = compose(a, Composite(dense, b), grid)
    assert isinstance(composed, Composite) and composed.dense is dense


@every_solid_lattice
@every_kind
def test_the_inverse_leads_back_at_the_lattices_voxels(grid: Grid, kind: str) -> None:
    transform = transforms_near(grid)[kind]
    inverse, error = invert(transform, grid)
    y = grid.points(torch.float64)
    back = (transform.points(inverse.points(y)) - y).norm(dim=-1)
    assert back.max() < 2e-3 and error["max"] < 2e-3 and error["mean"] <= error["max"]
    assert abs(back.max().item() - error["max"]) < 1e-3
    assert (inverse.points(y) - y).norm(dim=-1).max() > 0.5


@every_solid_lattice
def test_the_inverse_of_the_inverse_is_the_transform(grid: Grid) -> None:
    """Within what linear interpolation between voxels allows: a field with no kink, inverted on a fine lattice."""
    d = grid.dimension
    field = smooth_field(grid, 0.8).field
    window = torch.ones(())
    for axis, n in enumerate(grid.size):
        line = torch.sin(torch.linspace(0, torch.pi, n)).square()
        window = window * line.reshape(-1, *([1] * axis))
    transform = Composite(DenseField(Image(field.tensor * window, grid)), affine_near(grid))
    wide = grid.cropped((-4,) * d, tuple(n + 8 for n in grid.size)).respaced((0.4,) * d)
    inverse, _ = invert(transform, wide)
    again, _ = invert(inverse, grid)
    x = grid.points(torch.float64)
    assert (transform.points(x) - affine_near(grid).points(x)).norm(dim=-1).max() > 0.4
    assert (again.points(x) - transform.points(x)).norm(dim=-1).max() < 0.05


def test_the_inverse_of_an_affine_is_exact() -> None:
    for grid in LATTICES.values():
        inverse, error = invert(affine_near(grid), grid)
        assert isinstance(inverse, Affine) and error == {"mean": 0.0, "max": 0.0}
        assert ((inverse @ affine_near(grid)).matrix - torch.eye(grid.dimension + 1)).abs().max() < 1e-9


def test_where_there_is_no_inverse_the_reported_error_says_so() -> None:
    """A field that ends abruptly: everything inside moves by 12 mm, nothing outside, so nothing reaches the gap."""
    grid = Grid.regular((41, 9), 1.0)
    torn = DenseField(Image(torch.stack([torch.full(grid.shape, 12.0), torch.zeros(grid.shape)]), grid))
    _, error = invert(torn, grid)
    assert error["max"] > 5.0 and error["mean"] > 1.0
    _, closed = invert(torn.closed(), grid)
    assert closed["max"] < 2e-3


def test_inversion_is_the_same_twice() -> None:
    grid = LATTICES["oblique"]
    transform = transforms_near(grid)["composite"]
    first, second = (invert(transform, grid)[0].dense.field.tensor for _ in range(2))
    assert torch.equal(first, second)


@every_lattice
def test_halfway_is_as_far_from_one_as_from_the_other_in_either_order_and_for_their_inverses(grid: Grid) -> None:
    one, other = affine_near(grid), affine_near(near(grid), -11)
    middle = halfway(one, other)
    twice = middle.matrix @ torch.linalg.solve(one.matrix, middle.matrix)  # as far again
    assert torch.allclose(twice, other.matrix, atol=1e-7)
    assert torch.allclose(halfway(other, one).matrix, middle.matrix, atol=1e-7)
    assert torch.allclose(halfway(one.inverse(), other.inverse()).matrix, middle.inverse().matrix, atol=1e-7)
    assert torch.allclose(halfway(one, one).matrix, one.matrix, atol=1e-9)


def test_halfway_between_a_turn_and_none_is_half_of_the_turn_and_opposite_turns_have_none() -> None:
    def turn(degrees: float) -> Affine:
        matrix = torch.eye(3, dtype=torch.float64)
        a = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
        matrix[:2, :2] = torch.stack([torch.stack([a.cos(), -a.sin()]), torch.stack([a.sin(), a.cos()])])
        return Affine(matrix)

    assert torch.allclose(halfway(turn(10.0), turn(70.0)).matrix, turn(40.0).matrix, atol=1e-12)
    with pytest.raises(InputError, match="halfway"):
        halfway(turn(0.0), turn(175.0))
