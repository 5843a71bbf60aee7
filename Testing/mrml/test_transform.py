"""Transform nodes: what Slicer does with them, and SimpleITK with their files, is the library's transform."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import torch
import vtk
from lattices import LATTICES_3D, affine_near, near, random_image, sitk_transform, smooth_field, transforms_near
from vtk.util import numpy_support

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, InputError, reorient, resample
from DeepMultiModalRegLib.io import read_transform, write_transform
from DeepMultiModalRegLib.mrml import image_from_node, node_from_image, node_from_transform, transform_from_node
from DeepMultiModalRegLib.mrml.scene import HeadlessScene, save_node

SOLID = {name: grid for name, grid in LATTICES_3D.items() if name != "one_slice"}
every_lattice = pytest.mark.parametrize("grid", SOLID.values(), ids=SOLID.keys())
every_kind = pytest.mark.parametrize("kind", ["affine", "dense", "composite"])


def closed(kind: str, grid: Grid):
    """As they are delivered: the dense part falls to zero, so that VTK and ITK agree outside too."""
    transform = transforms_near(grid)[kind]
    if isinstance(transform, DenseField):
        return transform.closed()
    return Composite(transform.dense.closed(), transform.affine) if isinstance(transform, Composite) else transform


def scattered(grid: Grid, count: int = 300) -> np.ndarray:
    """LPS points in and around the lattice."""
    generator = np.random.default_rng(4)
    index = (generator.random((count, 3)) * 2 - 0.5) * np.array(grid.size)
    return index @ grid.matrix[:3, :3].numpy().T + grid.matrix[:3, 3].numpy()


def flipped(points: np.ndarray) -> np.ndarray:
    return points * np.array([-1.0, -1.0, 1.0])


@every_lattice
@every_kind
def test_slicer_maps_points_from_parent_as_the_transform_does(scene, grid: Grid, kind: str) -> None:
    transform = closed(kind, grid)
    node = node_from_transform(transform, scene, "T")
    general = node.GetTransformFromParent()
    points = scattered(grid)
    shown = flipped(np.array([general.TransformPoint(p) for p in flipped(points)]))
    expected = transform.points(torch.from_numpy(points)).numpy()
    assert np.abs(shown - expected).max() < 1e-4
    assert np.abs(points - expected).max() > 0.5
    assert node.GetClassName() == "vtkMRMLTransformNode"


@every_lattice
@every_kind
@pytest.mark.parametrize("ending", ["h5", "tfm"])
def test_the_file_slicer_saves_is_the_same_transform_in_simpleitk(scene, grid, kind, ending, tmp_path) -> None:
    transform = closed(kind, grid)
    node = node_from_transform(transform, scene, "T")
    path = str(tmp_path / f"T.{ending}")
    save_node(node, path)
    theirs = sitk.ReadTransform(path)
    points = scattered(grid)
    read = np.array([theirs.TransformPoint(p) for p in points])
    assert np.abs(read - transform.points(torch.from_numpy(points)).numpy()).max() < 1e-4
    ours = read_transform(path).points(torch.from_numpy(points)).numpy()
    assert np.abs(ours - read).max() < 1e-4


@every_lattice
@every_kind
def test_a_node_gives_back_the_transform_it_was_given(scene, grid: Grid, kind: str) -> None:
    transform = closed(kind, grid)
    back = transform_from_node(node_from_transform(transform, scene, "T"))
    assert type(back) is type(transform)
    points = torch.from_numpy(scattered(grid))
    assert (back.points(points) - transform.points(points)).abs().max() < 1e-5


@every_lattice
def test_a_sheared_field_lattice_survives(scene, grid: Grid, tmp_path) -> None:
    shear = torch.eye(4, dtype=torch.float64)
    shear[0, 1], shear[2, 0] = 0.3, -0.2
    matrix = shear @ grid.matrix
    lengths = matrix[:3, :3].norm(dim=0)
    axes = (matrix[:3, :3] / lengths).flatten().tolist()
    sheared = Grid(grid.size, tuple(lengths.tolist()), tuple(matrix[:3, 3].tolist()), tuple(axes))
    transform = Composite(smooth_field(sheared).closed(), affine_near(grid))
    node = node_from_transform(transform, scene, "T")
    general = node.GetTransformFromParent()
    points = scattered(grid)
    expected = transform.points(torch.from_numpy(points)).numpy()
    shown = flipped(np.array([general.TransformPoint(p) for p in flipped(points)]))
    assert np.abs(shown - expected).max() < 1e-4
    save_node(node, tmp_path / "T.h5")
    theirs = sitk.ReadTransform(str(tmp_path / "T.h5"))
    assert np.abs(np.array([theirs.TransformPoint(p) for p in points]) - expected).max() < 1e-4


@pytest.mark.parametrize("writer", ["itk", "h5", "tfm"])
@pytest.mark.parametrize("kind", ["affine", "dense", "composite"])
def test_a_transform_file_loaded_by_slicer_is_the_same_transform(headless, kind: str, writer: str, tmp_path) -> None:
    """Slicer's loader interpolates grids with cubic splines; the displacement at the voxels is what was saved."""
    grid = SOLID["oblique"]
    transform = closed(kind, grid)
    name = f"T.{'tfm' if writer == 'tfm' else 'h5'}"
    if writer == "itk":
        sitk.WriteTransform(sitk_transform(transform), str(tmp_path / name))
    else:
        write_transform(transform, tmp_path / name)
    logic = slicer.vtkSlicerTransformLogic()
    logic.SetMRMLApplicationLogic(headless.application)
    logic.SetMRMLScene(headless.scene)
    node = logic.AddTransform(str(tmp_path / name), headless.scene)
    points = torch.from_numpy(scattered(grid))
    within = 1e-4 if writer == "itk" else 1e-3  # ours are rounded to 1/1024 mm
    assert (transform_from_node(node).points(points) - transform.points(points)).abs().max() < within


@pytest.mark.parametrize("make", ["inverse grid", "b-spline", "grid after affine"])
def test_other_transforms_are_sampled_on_a_lattice_or_refused(scene, make: str) -> None:
    grid = SOLID["oblique"]
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "other")
    source = node_from_transform(closed("composite", grid), scene, "source")
    if make == "b-spline":
        coefficients = vtk.vtkImageData()
        coefficients.SetDimensions(8, 8, 8)
        coefficients.SetSpacing(9, 9, 9)
        coefficients.SetOrigin(-45, -10, 0)
        coefficients.AllocateScalars(vtk.VTK_DOUBLE, 3)
        values = numpy_support.vtk_to_numpy(coefficients.GetPointData().GetScalars())
        values[:] = np.random.default_rng(1).normal(size=values.shape)
        spline = slicer.vtkOrientedBSplineTransform()
        spline.SetCoefficientData(coefficients)
        node.SetAndObserveTransformFromParent(spline)
    else:
        general = vtk.vtkGeneralTransform()
        general.DeepCopy(source.GetTransformFromParent())
        if make == "inverse grid":
            general.Inverse()
        else:
            general.PostMultiply()
            general.Concatenate(general.GetConcatenatedTransform(0))
        node.SetAndObserveTransformFromParent(general)
    with pytest.raises(InputError, match="lattice"):
        transform_from_node(node)
    transform = transform_from_node(node, grid)
    whole = node.GetTransformFromParent()
    points = grid.points(torch.float64).reshape(-1, 3).numpy()[::7]
    expected = flipped(np.array([whole.TransformPoint(p) for p in flipped(points)]))
    assert np.abs(transform.points(torch.from_numpy(points)).numpy() - expected).max() < 2e-3
    assert np.abs(expected - points).max() > 0.2


def test_put_on_the_moving_volume_it_shows_what_the_library_resamples(headless) -> None:
    """The warped image of the library against Slicer's own resampling under the delivered transform node."""
    grid = SOLID["oblique"]
    target = near(grid)
    moving = node_from_image(random_image(grid), headless.scene, "moving")
    fixed = node_from_image(random_image(target, 1), headless.scene, "fixed")
    transform = closed("composite", grid)
    node = node_from_transform(transform, headless.scene, "T", fixed, moving)
    moving.SetAndObserveTransformNodeID(node.GetID())
    shown = slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(moving, fixed)
    warped = resample(random_image(grid), target, transform).tensor[0].numpy()
    inner = warped[1:-1, 1:-1, 1:-1] != 0
    read = slicer.util.arrayFromVolume(shown)[1:-1, 1:-1, 1:-1]
    both = inner & (read != 0)
    assert both.mean() > 0.4
    assert np.abs(read - warped[1:-1, 1:-1, 1:-1])[both].max() < 2e-2


def test_the_references_to_both_volumes_are_set(scene) -> None:
    fixed = node_from_image(random_image(SOLID["identity"]), scene, "fixed")
    moving = node_from_image(random_image(SOLID["oblique"]), scene, "moving")
    node = node_from_transform(affine_near(SOLID["identity"]), scene, "T", fixed, moving)
    assert node.GetNodeReference(node.GetFixedNodeReferenceRole()) is fixed
    assert node.GetNodeReference(node.GetMovingNodeReferenceRole()) is moving


def test_an_existing_node_is_filled_and_its_parent_let_go(scene) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    above = node_from_transform(affine_near(SOLID["identity"]), scene, "above")
    node.SetAndObserveTransformNodeID(above.GetID())
    assert node_from_transform(closed("dense", SOLID["oblique"]), scene, "T", node=node) is node
    assert isinstance(transform_from_node(node), DenseField) and node.GetParentTransformNode() is None
    node_from_transform(Affine.identity(3), scene, "T", node=node)
    assert isinstance(transform_from_node(node), Affine)


def test_a_linear_transform_node_takes_an_affine_and_refuses_a_field(scene) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "linear")
    affine = affine_near(SOLID["oblique"])
    node_from_transform(affine, scene, "T", node=node)
    assert (transform_from_node(node).matrix - affine.matrix).abs().max() < 1e-9
    with pytest.raises(InputError, match="'linear' holds only one kind"):
        node_from_transform(closed("composite", SOLID["oblique"]), scene, "T", node=node)
    assert (transform_from_node(node).matrix - affine.matrix).abs().max() < 1e-9


def test_a_2d_transform_is_refused(scene) -> None:
    with pytest.raises(InputError, match="3D"):
        node_from_transform(Affine.identity(2), scene, "T")


def test_a_scene_saved_and_read_again_keeps_volumes_transforms_references_and_hierarchy(headless, tmp_path) -> None:
    grid = SOLID["oblique_left_handed"]
    fixed = node_from_image(random_image(near(grid), 1), headless.scene, "fixed")
    moving = node_from_image(random_image(grid), headless.scene, "moving")
    transform = closed("composite", grid)
    node = node_from_transform(transform, headless.scene, "T", fixed, moving)
    node.SetAttribute("DeepMultiModalReg.Report", '{"a": "\\"quoted\\" <b> & c"}')
    moving.SetAndObserveTransformNodeID(node.GetID())
    headless.save(tmp_path / "scene.mrb")
    assert [p.name for p in tmp_path.iterdir()] == ["scene.mrb"]

    again = HeadlessScene()
    again.read(tmp_path / "scene.mrb")
    read = {name: again.scene.GetFirstNodeByName(name) for name in ("fixed", "moving", "T")}
    assert read["moving"].GetTransformNodeID() == read["T"].GetID()
    assert read["T"].GetNodeReference(read["T"].GetFixedNodeReferenceRole()) is read["fixed"]
    assert read["T"].GetNodeReference(read["T"].GetMovingNodeReferenceRole()) is read["moving"]
    assert read["T"].GetAttribute("DeepMultiModalReg.Report") == '{"a": "\\"quoted\\" <b> & c"}'
    points = torch.from_numpy(scattered(grid))
    assert (transform_from_node(read["T"]).points(points) - transform.points(points)).abs().max() < 1e-4
    read["moving"].SetAndObserveTransformNodeID(None)
    image, expected = reorient(image_from_node(read["moving"])), reorient(random_image(grid))
    assert torch.equal(image.tensor, expected.tensor) and image.grid.same_as(expected.grid)


def test_a_scene_that_cannot_be_read_or_written_says_so(headless, tmp_path) -> None:
    (tmp_path / "no.mrb").write_text("not a scene")
    with pytest.raises(InputError, match="cannot be read"):
        headless.read(tmp_path / "no.mrb")
    with pytest.raises(InputError):
        headless.save(tmp_path / "missing" / "scene.mrb")
    with pytest.raises(InputError, match="does not exist"):
        headless.load_volume(tmp_path / "none.nrrd")
