"""Volume nodes become images that lie where Slicer shows them, and the other way round."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import torch
import vtk
from lattices import LATTICES_3D, coordinate_image, random_image, sitk_image
from parents import KINDS, lps, parent_of, world_of_local

from DeepMultiModalRegLib.core import Grid, Image, InputError, reorient
from DeepMultiModalRegLib.io import PixelInfo
from DeepMultiModalRegLib.mrml import image_from_node, mask_from_node, node_from_image
from DeepMultiModalRegLib.mrml.scene import save_node

every_lattice = pytest.mark.parametrize("grid", LATTICES_3D.values(), ids=LATTICES_3D.keys())
LINEAR = ("none", "rotated", "sheared", "two linear")


def node_of(scene, grid: Grid, seed: int = 0, parent=None):
    node = node_from_image(random_image(grid, seed), scene, "volume")
    node.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
    return node


@every_lattice
def test_a_volume_read_by_slicer_lies_where_simpleitk_puts_it(headless, grid: Grid, tmp_path) -> None:
    written = sitk_image(random_image(grid))
    sitk.WriteImage(written, str(tmp_path / "image.nrrd"))
    # Slicer's loader turns an axis of a left-handed lattice round: the same voxels in the same places, named otherwise
    image = reorient(image_from_node(headless.load_volume(tmp_path / "image.nrrd")))
    expected = reorient(random_image(grid))
    assert image.grid.same_as(expected.grid)
    assert torch.equal(image.tensor, expected.tensor)


@every_lattice
def test_an_image_as_a_node_is_saved_by_slicer_where_it_lies(headless, grid: Grid, tmp_path) -> None:
    image = random_image(grid)
    node = node_from_image(image, headless.scene, "volume")
    save_node(node, tmp_path / "image.nrrd")
    read = sitk.ReadImage(str(tmp_path / "image.nrrd"))
    index = [n - 1 for n in grid.size]
    expected = sitk_image(image).TransformIndexToPhysicalPoint(index)
    np.testing.assert_allclose(read.TransformIndexToPhysicalPoint(index), expected, atol=1e-4)
    assert np.array_equal(sitk.GetArrayFromImage(read), image.tensor[0].numpy())


@every_lattice
@pytest.mark.parametrize("kind", LINEAR)
def test_linear_parents_fold_into_the_lattice_exactly(scene, grid: Grid, kind: str) -> None:
    node = node_of(scene, grid, parent=parent_of(kind, scene, grid))
    image = image_from_node(node)
    own = lps(grid.points(torch.float64).reshape(-1, 3).numpy())
    expected = lps(world_of_local(node, own))
    np.testing.assert_allclose(image.grid.points(torch.float64).reshape(-1, 3), expected, atol=1e-6)
    assert torch.equal(image.tensor, random_image(grid).tensor)


@pytest.mark.parametrize("kind", ["bent", "bent and rotated"])
@pytest.mark.parametrize("name", ["identity", "oblique", "oblique_left_handed", "anisotropic"])
def test_under_a_parent_that_bends_space_a_world_point_shows_the_voxel_that_lies_there(scene, name, kind) -> None:
    """The image holds its own coordinates: reading it in the world must give the place it came from."""
    grid = LATTICES_3D[name]
    parent = parent_of(kind, scene, grid)
    coordinates = coordinate_image(grid)
    channels = []
    for c in range(3):
        node = node_from_image(coordinates.with_tensor(coordinates.tensor[c : c + 1] + 500), scene, "axis")
        node.SetAndObserveTransformNodeID(parent.GetID())
        channels.append(image_from_node(node))
    world = channels[0].grid
    read = torch.cat([image.tensor for image in channels]).movedim(0, -1).reshape(-1, 3).double().numpy() - 500
    # where it was read wholly inside (no fill, no voxel at the border)
    index = read @ grid.inverse_matrix[:3, :3].numpy().T + grid.inverse_matrix[:3, 3].numpy()
    inside = ((index > 0.01) & (index < np.array(grid.size) - 1.01)).all(1)
    assert inside.sum() > 0.3 * grid.voxels
    shown = lps(world_of_local(node, lps(read[inside])))
    expected = world.points(torch.float64).reshape(-1, 3).numpy()[inside]
    assert np.abs(shown - expected).max() < 0.02  # VTK inverts the grid numerically
    moved = np.abs(expected - read[inside]).max()
    assert moved > 1.0


def test_the_lattice_of_a_bent_volume_covers_all_of_it(scene) -> None:
    grid = LATTICES_3D["oblique"]
    node = node_of(scene, grid, parent=parent_of("bent and rotated", scene, grid))
    world = image_from_node(node).grid
    corners = lps(world_of_local(node, lps(grid.corners().numpy())))
    index = corners @ world.inverse_matrix[:3, :3].numpy().T + world.inverse_matrix[:3, 3].numpy()
    assert (index > -0.5 - 1e-6).all() and (index < np.array(world.size) - 0.5 + 1e-6).all()
    assert world.direction == pytest.approx(grid.direction) and world.spacing == pytest.approx(grid.spacing)


@pytest.mark.parametrize("kind", KINDS)
def test_reading_changes_neither_the_volume_nor_its_parents(scene, kind: str) -> None:
    grid = LATTICES_3D["oblique"]
    parent = parent_of(kind, scene, grid)
    node = node_of(scene, grid, parent=parent)
    before, identity = slicer.util.arrayFromVolume(node).copy(), node.GetTransformNodeID()
    count, stamp = scene.GetNumberOfNodes(), node.GetMTime()
    image = image_from_node(node)
    image.tensor.fill_(-1)  # whoever works on the image works on a copy
    assert np.array_equal(slicer.util.arrayFromVolume(node), before)
    assert node.GetTransformNodeID() == identity and node.GetMTime() == stamp
    assert scene.GetNumberOfNodes() == count


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_pixel_type_keeps_its_values_there_and_back(scene, dtype: str) -> None:
    grid = LATTICES_3D["anisotropic"]
    values = (random_image(grid).tensor * 1.2).to(torch.int16)
    node = node_from_image(Image(values, grid), scene, "typed", pixel=PixelInfo(dtype))
    assert slicer.util.arrayFromVolume(node).dtype == np.dtype(dtype)
    assert torch.equal(image_from_node(node).tensor.to(torch.int16), values)


def test_an_output_beside_a_volume_under_a_linear_parent_stays_beside_it(scene) -> None:
    grid = LATTICES_3D["oblique"]
    parent = parent_of("sheared", scene, grid)
    like = node_of(scene, grid, parent=parent)
    image = image_from_node(like)
    node = node_from_image(image, scene, "beside", like=like)
    assert node.GetTransformNodeID() == parent.GetID()
    assert image_from_node(node).grid.same_as(image.grid)
    alone = node_from_image(random_image(LATTICES_3D["shifted"]), scene, "elsewhere", like=like)
    assert alone.GetTransformNodeID() is None


@pytest.mark.parametrize("kind", ["none", "sheared", "bent and rotated"])
def test_a_segmentation_is_a_mask_where_slicer_shows_it(scene, headless, kind: str) -> None:
    grid = LATTICES_3D["oblique"]
    tensor = torch.zeros((1, *grid.shape), dtype=torch.uint8)
    tensor[0, 2:6, 3:9, 2:5], tensor[0, 6:8, 3:6, 8:12] = 1, 2
    labels = node_from_image(Image(tensor, grid), scene, "labels", labelmap=True)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segmentation")
    assert headless.segmentations.ImportLabelmapToSegmentationNode(labels, segmentation)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2
    parent = parent_of(kind, scene, grid)
    for node in (labels, segmentation):
        node.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
    drawn, mask = mask_from_node(labels), mask_from_node(segmentation)
    points = {}
    for name, image in (("drawn", drawn), ("segmented", mask)):
        index = torch.nonzero(image.tensor[0]).flip(-1).double()
        points[name] = index @ image.grid.matrix[:3, :3].T + image.grid.matrix[:3, 3]
    tolerance = 1e-4 if kind != "bent and rotated" else 0.2
    assert abs(len(points["drawn"]) / len(points["segmented"]) - 1) < (0.1 if tolerance > 0.1 else 1e-9)
    assert (points["drawn"].mean(0) - points["segmented"].mean(0)).abs().max() < tolerance


def test_a_segmentation_of_surfaces_is_a_mask_and_stays_of_surfaces(scene) -> None:
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(5, -4, 3)
    sphere.SetRadius(6)
    sphere.SetThetaResolution(40)
    sphere.SetPhiResolution(40)
    sphere.Update()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surface")
    segmentation.SetSourceRepresentationToClosedSurface()
    segmentation.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball", [1, 0, 0])
    assert not segmentation.GetSegmentation().ContainsRepresentation("Binary labelmap")
    mask = mask_from_node(segmentation)
    voxel = np.prod(mask.grid.spacing)
    assert mask.tensor.sum().item() * voxel == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.1)
    index = torch.nonzero(mask.tensor[0]).flip(-1).double().mean(0)
    centre = mask.grid.matrix[:3, :3] @ index + mask.grid.matrix[:3, 3]
    np.testing.assert_allclose(centre, [-5, 4, 3], atol=0.3)
    assert not segmentation.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_nodes_that_cannot_be_read_are_refused_with_the_reason(scene) -> None:
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(InputError, match="'empty' has no voxels"):
        image_from_node(empty)
    with pytest.raises(InputError, match="missing"):
        image_from_node(None)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    with pytest.raises(InputError, match="'nothing' has no segment"):
        mask_from_node(segmentation)
    with pytest.raises(InputError, match="cannot hold 2 channels"):
        node_from_image(random_image(LATTICES_3D["identity"], channels=2), scene, "two", empty)
    singular = node_of(scene, LATTICES_3D["identity"])
    singular.SetIJKToRASDirections(1, 1, 0, 0, 0, 0, 0, 0, 1)
    with pytest.raises(InputError, match="singular"):
        image_from_node(singular)
