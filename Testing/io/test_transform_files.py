"""A transform written maps points in SimpleITK as it does here, and one of SimpleITK's maps here as it does there."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lattices import LATTICES, LATTICES_2D, LATTICES_3D, affine_near, near, sitk_image, smooth_field, transforms_near
from torch import Tensor

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, InputError, Transform
from DeepMultiModalRegLib.io import from_sitk, read_transform, to_sitk, write_transform
from DeepMultiModalRegLib.io.transform import STEP_MM, rounded

WRITTEN_MM = STEP_MM / 2 * 3**0.5 + 1e-4  # displacements are rounded when they are written

every_lattice = pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())
every_kind = pytest.mark.parametrize("kind", ["affine", "dense", "composite"])


def points_about(grid: Grid, count: int = 150, beyond: float = 0.4) -> Tensor:
    """(count, D) LPS mm in the lattice and up to 40 % of its size beyond it (in its plane for one slice)."""
    generator = torch.Generator().manual_seed(1)
    size = torch.tensor(grid.size, dtype=torch.float64) - 1
    unit = torch.rand(count, grid.dimension, generator=generator, dtype=torch.float64) * (1 + 2 * beyond) - beyond
    return (unit * size) @ grid.matrix[:-1, :-1].T + grid.matrix[:-1, -1]


def by_sitk(transform: sitk.Transform, points: Tensor) -> Tensor:
    return torch.tensor([transform.TransformPoint(p) for p in points.tolist()], dtype=torch.float64)


def largest_error(transform: Transform, itk: sitk.Transform, points: Tensor, allowed_outliers: int = 0) -> float:
    error = (transform.points(points) - by_sitk(itk, points)).norm(dim=-1)
    return float(error.sort().values[-1 - allowed_outliers])


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
@every_kind
@every_lattice
def test_a_transform_written_maps_points_the_same_in_simpleitk(grid, kind, suffix, tmp_path) -> None:
    transform = transforms_near(grid)[kind]
    write_transform(transform, tmp_path / f"t{suffix}")
    assert largest_error(transform, sitk.ReadTransform(str(tmp_path / f"t{suffix}")), points_about(grid)) < WRITTEN_MM


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
@every_kind
@every_lattice
def test_a_transform_written_is_read_as_the_same_kind_with_the_same_points(grid, kind, suffix, tmp_path) -> None:
    transform = transforms_near(grid)[kind]
    write_transform(transform, tmp_path / f"t{suffix}")
    read = read_transform(tmp_path / f"t{suffix}")
    assert type(read) is type(transform)
    points = points_about(grid)
    assert (read.points(points) - transform.points(points)).abs().max() < WRITTEN_MM
    if kind != "affine":
        dense = read if isinstance(read, DenseField) else read.dense
        ours = rounded(transform if isinstance(transform, DenseField) else transform.dense)
        assert torch.equal(dense.field.tensor, ours.field.tensor) and dense.field.grid.same_as(ours.field.grid)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha", ".mhd"])
@pytest.mark.parametrize("grid", LATTICES.values(), ids=LATTICES.keys())
def test_a_field_file_maps_points_the_same_in_simpleitk_and_here(grid, suffix, tmp_path) -> None:
    transform = smooth_field(grid)
    if 1 in grid.size and ".nii" in suffix:
        with pytest.raises(InputError, match=r"\.nrrd"):  # ITK would read it as a plane, in another place
            write_transform(transform, tmp_path / f"u{suffix}")
        assert not list(tmp_path.iterdir())
        return
    write_transform(transform, tmp_path / f"u{suffix}")
    picture = sitk.ReadImage(str(tmp_path / f"u{suffix}"), sitk.sitkVectorFloat64)
    assert picture.GetNumberOfComponentsPerPixel() == grid.dimension
    points = points_about(grid, beyond=0.0 if 1 not in grid.size else -0.01)
    inward = grid.centre + 0.99 * (points - grid.centre)  # a rounded header moves the border by less than this
    assert largest_error(transform, sitk.DisplacementFieldTransform(picture), inward) < WRITTEN_MM
    read = read_transform(tmp_path / f"u{suffix}")
    assert isinstance(read, DenseField)
    assert (read.points(inward) - transform.points(inward)).abs().max() < WRITTEN_MM


def test_the_field_of_a_composite_is_applied_before_its_affine(tmp_path) -> None:
    grid = LATTICES_3D["oblique"]
    transform = transforms_near(grid)["composite"]
    write_transform(transform, tmp_path / "t.h5")
    x = grid.centre[None]
    u = transform.dense.points(x)
    expected = u @ transform.affine.linear.T + transform.affine.translation
    other_order = transform.dense.points(transform.affine.points(x))
    assert (expected - other_order).norm() > 0.01  # the orders differ here, so the next line means something
    assert (by_sitk(sitk.ReadTransform(str(tmp_path / "t.h5")), x) - expected).norm() < WRITTEN_MM


def parameterised(transform: sitk.Transform, seed: int = 0) -> sitk.Transform:
    generator = np.random.default_rng(seed)
    values = np.array(transform.GetParameters())
    transform.SetParameters((values + generator.normal(0, 0.15, values.size)).tolist())
    if len(transform.GetFixedParameters()) == transform.GetDimension():
        transform.SetFixedParameters([4.0, -7.0, 11.0][: transform.GetDimension()])
    return transform


@pytest.mark.parametrize(
    "make",
    [
        lambda: sitk.TranslationTransform(3), lambda: sitk.ScaleTransform(3), sitk.Euler3DTransform,
        sitk.VersorTransform,
        sitk.VersorRigid3DTransform, sitk.Similarity3DTransform, sitk.ScaleVersor3DTransform,
        sitk.ScaleSkewVersor3DTransform, lambda: sitk.AffineTransform(3), lambda: sitk.Transform(3, sitk.sitkIdentity),
        sitk.Euler2DTransform, sitk.Similarity2DTransform, lambda: sitk.AffineTransform(2),
        lambda: sitk.TranslationTransform(2),
    ],
)
def test_every_linear_kind_of_itk_is_read_as_the_exact_affine(make, tmp_path) -> None:
    itk = make()
    if itk.GetNumberOfParameters():
        itk = parameterised(itk)
    sitk.WriteTransform(itk, str(tmp_path / "t.tfm"))
    read = read_transform(tmp_path / "t.tfm")
    assert isinstance(read, Affine)
    points = torch.randn(50, itk.GetDimension(), dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 300
    assert largest_error(read, itk, points) < 1e-9


def test_chains_with_one_field_are_read_exactly_in_any_order(tmp_path) -> None:
    grid = LATTICES_3D["anisotropic"]
    first, last = to_sitk(affine_near(grid)), to_sitk(affine_near(grid, -9, 4))
    field = to_sitk(smooth_field(near(grid, 0.7)))
    for name, order in {"affine first": [field, first], "between": [last, field, first], "nested": None}.items():
        itk = sitk.CompositeTransform(3)
        if order is None:
            itk.AddTransform(sitk.CompositeTransform([last, field]))
            itk.AddTransform(first)
        else:
            for part in order:
                itk.AddTransform(part)
            sitk.WriteTransform(itk, str(tmp_path / "t.h5"))
        read = from_sitk(itk) if order is None else read_transform(tmp_path / "t.h5")  # no file holds a nested one
        assert isinstance(read, Composite), name
        # a point on the field's very border may fall to either side of it
        assert largest_error(read, itk, points_about(grid), allowed_outliers=1) < 1e-4, name


def test_two_fields_in_a_chain_are_composed_within_their_sampling_error() -> None:
    grid = LATTICES_3D["rotated"]
    outer = smooth_field(near(grid)).closed()
    itk = sitk.CompositeTransform([to_sitk(outer), to_sitk(affine_near(grid)), to_sitk(smooth_field(grid).closed())])
    read = from_sitk(itk)
    assert largest_error(read, itk, points_about(grid)) < 0.15
    assert (by_sitk(itk, points_about(grid)) - points_about(grid)).norm(dim=-1).mean() > 1.0


@pytest.mark.parametrize("grid", [LATTICES_3D["oblique"], LATTICES_2D["rotated_2d"]], ids=["3D", "2D"])
def test_a_b_spline_is_read_within_its_sampling_error(grid, tmp_path) -> None:
    d = grid.dimension
    itk = sitk.BSplineTransformInitializer(sitk_image(Image(torch.zeros((1, *grid.shape)), grid)), [4] * d, order=3)
    generator = np.random.default_rng(5)
    itk.SetParameters(generator.normal(0, 2.0, itk.GetNumberOfParameters()).tolist())
    sitk.WriteTransform(itk, str(tmp_path / "t.tfm"))
    read = read_transform(tmp_path / "t.tfm")
    points = points_about(grid, beyond=0.0)
    assert largest_error(read, itk, points) < 0.12
    assert (by_sitk(itk, points) - points).norm(dim=-1).max() > 1.5
    outside = points_about(grid, beyond=3.0)
    index = outside @ read.field.grid.inverse_matrix[:-1, :-1].T + read.field.grid.inverse_matrix[:-1, -1]
    beyond = torch.maximum(-index, index - torch.tensor(read.field.grid.size) + 1).amax(-1) > 1
    outside = outside[beyond]
    assert (by_sitk(itk, outside) - outside).abs().max() == 0
    assert len(outside) > 5 and (read.points(outside) - outside).abs().max() < 1e-6


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_transform(path)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("name", ["t.h5", "t.tfm", "t.txt", "t.mat", "t.nrrd", "t.nii.gz", "t.xyz"])
def test_a_file_that_is_no_transform_is_refused(name, tmp_path) -> None:
    assert "does not exist" in refusal(tmp_path / name)
    for content in (b"", b"hello", bytes(2000)):
        (tmp_path / name).write_bytes(content)
        assert name in refusal(tmp_path / name)


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
def test_a_transform_that_is_cut_off_is_refused(suffix, tmp_path) -> None:
    path = tmp_path / f"t{suffix}"
    write_transform(transforms_near(LATTICES_3D["oblique"])["composite"], path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert path.name in refusal(path)


def test_a_kind_of_transform_that_is_no_text_is_refused(tmp_path) -> None:
    """ITK quotes it in its error, which Python then cannot read."""
    sitk.WriteTransform(sitk.AffineTransform(3), str(tmp_path / "t.mat"))
    content = (tmp_path / "t.mat").read_bytes()
    (tmp_path / "t.mat").write_bytes(content.replace(b"AffineTransform", b"Aff\x90neTransform"))
    assert "t.mat" in refusal(tmp_path / "t.mat")


def test_an_image_is_not_taken_for_a_field(tmp_path) -> None:
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkFloat32), str(tmp_path / "t.nrrd"))
    assert "no displacement field" in refusal(tmp_path / "t.nrrd")


def test_a_field_with_values_that_are_not_numbers_is_refused(tmp_path) -> None:
    field = smooth_field(LATTICES_3D["identity"]).field
    field.tensor[1, 2, 3, 4] = float("nan")
    sitk.WriteImage(sitk_image(field), str(tmp_path / "t.nrrd"))
    assert "not numbers" in refusal(tmp_path / "t.nrrd")


def test_a_singular_affine_is_refused(tmp_path) -> None:
    write_transform(Affine.identity(3), tmp_path / "t.tfm")
    text = (tmp_path / "t.tfm").read_text().replace("Parameters: 1 0 0", "Parameters: 0 0 0", 1)
    (tmp_path / "t.tfm").write_text(text)
    refusal(tmp_path / "t.tfm")
