"""What a refinement begins from: the affine part of a field joins the start, the rest becomes a velocity."""

from __future__ import annotations

import pytest
import torch
from lattices import make_grid, rotation, smooth_field

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Image
from DeepMultiModalRegLib.engine.refinement.flow import control_shape, displacement, exponential, logarithm
from DeepMultiModalRegLib.engine.refinement.root import fitted, guessed_velocity, rooted
from DeepMultiModalRegLib.engine.working import Working

OBLIQUE = make_grid((24, 20, 16), (2, 2, 2), (-30, 20, 10), rotation(15, -14, 28))
STACK = make_grid((24, 20, 5), (2, 2, 6), (-30, 20, 10), rotation(15, -14, 28))
PLANE = make_grid((24, 20), (2, 2), (-30, 20), rotation(20))


def pose(d: int) -> Affine:
    linear = torch.eye(d, dtype=torch.float64) + 0.05 * torch.arange(d * d, dtype=torch.float64).reshape(d, d).sin()
    return Affine.from_parts(linear, torch.arange(1, d + 1, dtype=torch.float64))


@pytest.mark.parametrize("grid", [OBLIQUE, PLANE], ids=["volume", "image"])
def test_an_affine_field_is_the_root_and_leaves_nothing_to_guess(grid):
    d = grid.dimension
    truth, start = pose(d), Affine.from_parts(torch.eye(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64))
    inner = DenseField(Image(truth.displacement(grid), grid))
    points = grid.points(torch.float64)[(slice(3, -3),) * d].reshape(-1, d)
    root = rooted(start, inner, points)
    assert torch.allclose(root.before.matrix, truth.matrix, atol=1e-5)
    assert torch.allclose(root.base.matrix, (start @ truth).matrix, atol=1e-5)
    assert float((root.guess.points(points) - points).abs().max()) < 1e-3


@pytest.mark.parametrize("grid", [OBLIQUE, PLANE], ids=["volume", "image"])
def test_base_and_guess_together_are_what_was_found(grid):
    d = grid.dimension
    inner, start = smooth_field(grid, 3.0), pose(d)
    points = grid.points(torch.float64)[(slice(2, -2),) * d].reshape(-1, d)
    root = rooted(start, inner, points)
    together = root.base.points(root.guess.points(points))
    assert torch.allclose(together, start.points(inner.points(points)), atol=1e-4)
    assert not torch.allclose(root.before.matrix, torch.eye(d + 1, dtype=torch.float64), atol=1e-3)


def test_an_affine_that_the_images_agreed_on_stays_the_root_and_the_whole_field_is_the_guess():
    inner, start = smooth_field(OBLIQUE, 3.0), pose(3)
    points = OBLIQUE.points(torch.float64)[2:-2, 2:-2, 2:-2].reshape(-1, 3)
    root = rooted(start, inner, points, fit=False)
    assert torch.allclose(root.base.matrix, start.matrix)
    assert torch.allclose(root.guess.points(points), inner.points(points), atol=1e-6)


def test_a_start_with_a_field_of_its_own_is_kept_as_it_is():
    start, inner = Composite(smooth_field(OBLIQUE, 2.0), pose(3)), smooth_field(OBLIQUE, 3.0)
    points = OBLIQUE.points(torch.float64)[4:-4, 4:-4, 4:-4].reshape(-1, 3)
    root = rooted(start, inner, points)
    assert root.guess is None
    assert float((root.base.points(points) - start.points(inner.points(points))).norm(dim=-1).mean()) < 0.1
    assert rooted(start, None, points).base is start


def test_nothing_is_invented_across_a_plane_of_points_nor_of_displacements():
    plane = make_grid((20, 16, 1), (1.5, 2, 3), (5, -3, 8), rotation(15, -14, 28))
    points = plane.points(torch.float64).reshape(-1, 3)
    normal = torch.tensor(plane.direction, dtype=torch.float64).reshape(3, 3)[:, 2]
    found = fitted(pose(3), points)
    assert torch.allclose(found.points(points), pose(3).points(points), atol=1e-8)
    assert torch.allclose((found.linear - torch.eye(3)) @ normal, torch.zeros(3, dtype=torch.float64), atol=1e-8)
    shear = torch.outer(plane.matrix[:-1, 0], torch.tensor([0.02, 0.01, -0.03], dtype=torch.float64))
    in_plane = Affine.from_parts(torch.eye(3, dtype=torch.float64) + shear, plane.matrix[:-1, 1])
    everywhere = fitted(in_plane, OBLIQUE.points(torch.float64).reshape(-1, 3)).points(points) - points
    assert float((everywhere @ normal).abs().max()) < 1e-8 < float(everywhere.abs().max())


def test_of_a_field_that_collapses_space_only_the_shift_is_kept():
    flat = Affine.from_parts(0.2 * torch.eye(3, dtype=torch.float64), torch.tensor([1.0, 2, 3]).double())
    points = OBLIQUE.points(torch.float64).reshape(-1, 3)
    found = fitted(flat, points)
    assert torch.equal(found.linear, torch.eye(3, dtype=torch.float64))
    assert torch.allclose(found.points(points).mean(0), flat.points(points).mean(0))


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 9)])
def test_the_exponential_of_the_logarithm_is_the_field(shape):
    grid = make_grid(shape[::-1], (1,) * len(shape), (0,) * len(shape), rotation(*[0.0] * (2 * len(shape) - 3)))
    u = smooth_field(grid, 1.5).field.tensor[None].float()
    velocity = logarithm(u)
    assert float((exponential(velocity) - u).norm(dim=1).mean()) < 0.1 * float((velocity - u).norm(dim=1).mean())


@pytest.mark.parametrize(
    "working", [Working(OBLIQUE), Working(STACK, slices=True), Working(PLANE)], ids=["volume", "slices", "image"]
)
def test_a_guessed_velocity_leads_to_the_guess_on_any_lattice(working):
    """On a level twice as coarse, with control cells of two of its voxels."""
    grid = working.grid
    inner = smooth_field(grid, 3.0)
    if working.slices:  # in the planes only
        normal = torch.tensor(grid.direction).reshape(3, 3)[:, 2].float()
        u = inner.field.tensor.float()
        inner = DenseField(Image(u - torch.einsum("r,s,s...->r...", normal, normal, u), grid))
    level = working.coarser(2, 1)
    shape = tuple(level.batch(torch.zeros(1, *level.grid.shape)).shape[2:])
    velocity = guessed_velocity(inner, working, 2, shape, 2)
    assert tuple(velocity.shape[2:]) == control_shape(shape, 2)
    found = level.field(displacement(velocity, shape, 2)).field.tensor
    wanted = inner.displacement(level.grid)
    middle = (slice(None), *[slice(1, -1) if n > 6 else slice(None) for n in level.grid.shape])
    off, size = ((x[middle]).norm(dim=0).mean() for x in (found - wanted, wanted))
    assert float(off) < 0.2 * float(size)
