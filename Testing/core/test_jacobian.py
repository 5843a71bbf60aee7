"""The Jacobian determinant against closed forms."""

from __future__ import annotations

import pytest
import SimpleITK as sitk
import torch
from lattices import LATTICES, SOLID, affine_near, sitk_image, smooth_field

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, folds, jacobian_determinant

every_solid_lattice = pytest.mark.parametrize("grid", SOLID.values(), ids=SOLID.keys())
every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())


def linear_field(grid: Grid, matrix: torch.Tensor) -> DenseField:
    """u(x) = M (x - centre)."""
    u = (grid.points(torch.float64) - grid.centre) @ matrix.T
    return DenseField(Image(torch.movedim(u, -1, 0).float(), grid))


def stretch(dimension: int) -> torch.Tensor:
    m = torch.tensor([[0.10, 0.05, -0.02], [-0.08, 0.20, 0.04], [0.03, -0.06, -0.15]], dtype=torch.float64)
    return m[:dimension, :dimension]


@every_lattice
def test_an_affine_scales_volume_by_its_determinant(grid: Grid) -> None:
    affine = affine_near(grid)
    expected = torch.linalg.det(affine.linear).item()
    determinant = jacobian_determinant(affine, grid)
    assert determinant.shape == grid.shape
    assert (determinant - expected).abs().max() < 1e-5 and abs(expected - 1) > 0.005


@every_solid_lattice
def test_a_linear_field_scales_volume_by_the_determinant_of_one_plus_its_matrix(grid: Grid) -> None:
    m = stretch(grid.dimension)
    expected = torch.linalg.det(torch.eye(grid.dimension) + m).item()
    assert (jacobian_determinant(linear_field(grid, m), grid) - expected).abs().max() < 1e-3


@every_lattice
def test_the_determinants_of_a_composite_multiply(grid: Grid) -> None:
    dense, affine = smooth_field(grid), affine_near(grid)
    product = jacobian_determinant(dense, grid) * jacobian_determinant(affine, grid)
    assert (jacobian_determinant(Composite(dense, affine), grid) - product).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["identity", "anisotropic", "shifted", "identity_2d", "anisotropic_2d"])
def test_a_wavy_field_agrees_with_simpleitk_inside(name: str) -> None:
    """Only on lattices along the axes: SimpleITK's filter ignores the direction for its derivatives' frame."""
    grid = LATTICES[name]
    field = smooth_field(grid)
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(sitk_image(field.field)))
    inner = (slice(1, -1),) * grid.dimension
    ours = jacobian_determinant(field, grid)
    assert (ours - torch.from_numpy(theirs))[inner].abs().max() < 1e-4
    assert ours.std() > 0.01


@every_solid_lattice
def test_the_determinant_does_not_depend_on_how_the_lattice_lies(grid: Grid) -> None:
    """A quadratic field has the closed form det(I + M + diag(2 q (x - c))); central differences give it exactly."""
    d = grid.dimension
    x = grid.points(torch.float64) - grid.centre
    q = 0.004
    u = x @ stretch(d).T + q * x**2
    field = DenseField(Image(torch.movedim(u, -1, 0).float(), grid))
    expected = torch.linalg.det(torch.eye(d) + stretch(d) + torch.diag_embed(2 * q * x))
    inner = (slice(1, -1),) * d
    assert (jacobian_determinant(field, grid) - expected)[inner].abs().max() < 1e-3


def test_a_slice_is_measured_in_its_plane() -> None:
    grid = LATTICES["one_slice"]
    axes = grid.matrix[:3, 0] / grid.spacing[0]
    x = grid.points(torch.float64) - grid.centre
    u = 0.2 * (x @ axes)[..., None] * axes
    determinant = jacobian_determinant(DenseField(Image(torch.movedim(u, -1, 0).float(), grid)), grid)
    assert (determinant - 1.2).abs().max() < 1e-4


def test_folds_count_the_voxels_that_turn_over() -> None:
    grid = Grid.regular((40, 20, 10), 1.0)
    x = grid.points(torch.float64)
    u = torch.zeros(3, *grid.shape)
    u[0] = torch.where(x[..., 0] < 0, -2.0 * x[..., 0], torch.zeros(())).float()  # x -> -x on the left half
    percent = folds(DenseField(Image(u, grid)), grid)
    # 19 of 40 columns have a slope of -2 on both sides, the twentieth one of (0 - 2 * 0.5) / 2 < 0 as seen centrally
    assert 45.0 <= percent <= 52.5
    assert folds(Affine.identity(3), grid) == 0 and folds(smooth_field(grid, 0.5), grid) == 0
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=torch.float64))
    assert folds(Affine(mirror), grid) == 100
