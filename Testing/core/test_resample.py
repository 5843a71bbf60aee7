"""Resampling equals SimpleITK's, on every lattice, through every kind of transform."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from lattices import (
    LATTICES,
    LATTICES_2D,
    LATTICES_3D,
    SOLID,
    affine_near,
    coordinate_image,
    inside_safely,
    near,
    random_image,
    sitk_resample,
    smooth_field,
    transforms_near,
)

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, InputError, resample

every_solid_lattice = pytest.mark.parametrize("grid", SOLID.values(), ids=SOLID.keys())
every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())
every_kind = pytest.mark.parametrize("kind", ["none", "affine", "dense", "composite"])
FILL = -1024.0


def transform_of(kind: str, grid: Grid):
    return None if kind == "none" else transforms_near(grid)[kind]


@every_lattice
@every_kind
def test_resampled_positions_equal_simpleitk_to_a_ten_thousandth_of_a_millimetre(grid: Grid, kind: str) -> None:
    # the lattice is brought near 0 so that the read-out is not limited by float32 voxel VALUES of a thousand mm
    image, target, transform = coordinate_image(grid), near(grid), transform_of(kind, grid)
    image = Image(image.tensor - grid.centre.float().reshape(-1, *[1] * grid.dimension), grid)
    ours = resample(image, target, transform, "linear", FILL).tensor.numpy()
    theirs = sitk_resample(image, target, transform, "linear", FILL)
    safe = inside_safely(image, target, transform)
    assert safe.mean() > 0.9 and (theirs[0][safe] != FILL).mean() > 0.3
    assert np.abs(ours - theirs)[:, safe].max() < 1e-4


@every_lattice
@every_kind
def test_linear_resampling_of_noise_equals_simpleitk(grid: Grid, kind: str) -> None:
    image, target, transform = random_image(grid), near(grid), transform_of(kind, grid)
    ours = resample(image, target, transform, "linear", FILL).tensor.numpy()
    theirs = sitk_resample(image, target, transform, "linear", FILL)
    safe = inside_safely(image, target, transform)
    # white noise of 100 a voxel: a slope of 100 to 200 per mm, so 1e-4 mm is 2e-2
    assert np.abs(ours - theirs)[:, safe].max() < 2e-2


@every_lattice
@every_kind
def test_nearest_resampling_equals_simpleitk_and_keeps_labels(grid: Grid, kind: str) -> None:
    labels = random_image(grid, 3).to(torch.int16)
    target, transform = near(grid), transform_of(kind, grid)
    result = resample(labels, target, transform, "nearest", 7)
    theirs = sitk_resample(labels, target, transform, "nearest", 7)
    assert result.tensor.dtype == torch.int16 and result.grid is target
    x = target.points(torch.float64)
    y = x if transform is None else transform.points(x)
    d = grid.dimension
    index = y @ grid.inverse_matrix[:d, :d].T + grid.inverse_matrix[:d, d]
    tie = ((index - index.floor() - 0.5).abs() < 1e-4).any(-1).numpy()
    assert tie.mean() < 0.35
    assert (result.tensor.numpy() == theirs)[:, ~tie].all()


@every_lattice
def test_resampling_on_its_own_lattice_changes_nothing(grid: Grid) -> None:
    image = random_image(grid)
    for transform in (None, Affine.identity(grid.dimension)):
        assert (resample(image, grid, transform).tensor - image.tensor).abs().max() < 2e-2


def test_fill_begins_half_a_voxel_beyond_the_outermost_centres() -> None:
    grid = Grid.regular((4, 1), 1.0)
    image = Image(torch.full((1, 1, 4), 5.0), grid)
    for shift, expected in ((-0.45, 5.0), (-0.55, FILL)):
        target = Grid((1, 1), (1, 1), (grid.origin[0] + shift, grid.origin[1]), grid.direction)
        assert resample(image, target, fill=FILL).tensor.item() == expected


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32, torch.float64])
def test_every_pixel_type_is_read_and_linear_gives_float32(dtype: torch.dtype) -> None:
    grid = LATTICES_3D["oblique"]
    image = random_image(grid).to(dtype)
    linear = resample(image, near(grid))
    assert linear.tensor.dtype == torch.float32
    expected = sitk_resample(Image(image.tensor.float(), grid), near(grid), None)
    assert np.abs(linear.tensor.numpy() - expected).max() < 2e-2
    assert resample(image, grid, mode="nearest").tensor.dtype == dtype
    assert torch.equal(resample(image, grid, mode="nearest").tensor, image.tensor)


def test_large_labels_survive_nearest() -> None:
    grid = LATTICES_3D["rotated"]
    labels = Image(torch.full((1, *grid.shape), 16_777_217, dtype=torch.int32), grid)  # 2^24 + 1: not a float32
    assert torch.equal(resample(labels, grid, mode="nearest").tensor, labels.tensor)


def test_channels_are_resampled_alike() -> None:
    grid = LATTICES_3D["anisotropic"]
    image = random_image(grid, channels=3)
    together = resample(image, near(grid), affine_near(grid)).tensor
    for c in range(3):
        alone = resample(Image(image.tensor[c : c + 1], grid), near(grid), affine_near(grid)).tensor
        assert torch.equal(together[c : c + 1], alone)


def test_work_in_slabs_equals_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["DeepMultiModalRegLib.core.resample"]  # the package gives the function this name
    for name in ("oblique", "one_slice", "rotated_2d"):
        grid = LATTICES[name]
        image, target, transform = random_image(grid), near(grid), transforms_near(grid)["composite"]
        whole = resample(image, target, transform).tensor
        monkeypatch.setattr(module, "SLAB_VOXELS", 3 * target.voxels // target.shape[0])
        assert (resample(image, target, transform).tensor - whole).abs().max() < 2e-2
        monkeypatch.undo()


@every_lattice
def test_gradients_reach_the_image(grid: Grid) -> None:
    tensor = random_image(grid).tensor.requires_grad_()
    resample(Image(tensor, grid), near(grid), affine_near(grid)).tensor.sum().backward()
    assert tensor.grad.abs().sum() > 0
    # what leaves the sum of a linear interpolation is what went in: the weights
    inside = resample(Image(torch.ones_like(tensor), grid), near(grid), affine_near(grid)).tensor.sum()
    assert abs(tensor.grad.sum().item() - inside.item()) < 1e-3 * abs(inside.item())


@every_solid_lattice
def test_gradients_reach_the_displacement_and_are_the_slope(grid: Grid) -> None:
    """Of the mean of the coordinate image: moving every voxel by 1 mm along an axis changes it by the inside share."""
    inner = grid.cropped((1,) * grid.dimension, tuple(n - 2 for n in grid.size))
    field = (0.1 * torch.ones((grid.dimension, *inner.shape))).requires_grad_()
    read = resample(coordinate_image(grid), inner, DenseField(Image(field, inner))).tensor
    read.sum().backward()
    assert (field.grad - 1).abs().max() < 1e-2


def test_gradients_reach_the_displacement_through_a_composite() -> None:
    grid = LATTICES_3D["oblique_left_handed"]
    field = smooth_field(near(grid)).field
    tensor = field.tensor.clone().requires_grad_()
    transform = Composite(DenseField(Image(tensor, field.grid)), affine_near(grid))
    resample(random_image(grid), grid, transform).tensor.square().mean().backward()
    assert torch.isfinite(tensor.grad).all() and tensor.grad.abs().max() > 0


def test_a_mixture_of_2d_and_3d_is_refused() -> None:
    flat, solid = LATTICES_2D["identity_2d"], LATTICES_3D["identity"]
    for image, grid, transform in (
        (random_image(flat), solid, None),
        (random_image(solid), flat, None),
        (random_image(solid), solid, Affine.identity(2)),
        (random_image(flat), flat, Affine.identity(3)),
    ):
        with pytest.raises(InputError, match="2D and 3D"):
            resample(image, grid, transform)
