"""register_nodes: the result works in the world, whatever transforms the volumes lie under; the scene is left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import torch
import vtk
from fakes import Constant, Correlating, model_of, phantom
from lattices import make_grid, rotation
from parents import KINDS, lps, parent_of, world_of_local

from DeepMultiModalRegLib import engine
from DeepMultiModalRegLib.core import Affine, Cancelled, Grid, Image, InputError
from DeepMultiModalRegLib.io import PixelInfo
from DeepMultiModalRegLib.mrml import image_from_node, node_from_image, node_from_transform, register_nodes
from DeepMultiModalRegLib.mrml import register as module
from DeepMultiModalRegLib.mrml.scene import save_node

FIXED = make_grid((30, 28, 24), (1.4, 1.5, 1.7), (-20, -21, -20), rotation(4, -7, 12))
MOVING = make_grid((26, 30, 28), (1.6, 1.4, 1.5), (-23, 24, -18), rotation(-6, 5, -9) @ np.diag([1, -1, 1]))


def pair(scene, fixed_parent: str = "none", moving_parent: str = "none", shift=(3.0, -2.0, 4.0)):
    """A fixed and a moving phantom, each under a parent of that kind."""
    nodes = []
    for name, grid, kind, moved in (("T1", FIXED, fixed_parent, None), ("T2", MOVING, moving_parent, shift)):
        node = node_from_image(phantom(grid, moved), scene, name, pixel=PixelInfo("int16"))
        parent = parent_of(kind, scene, grid)
        node.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(700, 350)
        nodes.append(node)
    return nodes


def run(fixedNode, movingNode, **settings):
    settings = {"model": model_of(Constant(0.7, -1.1, 0.4)), "device": "cpu", **settings}
    return register_nodes(fixedNode, movingNode, **settings)


def scattered(grid: Grid, count: int = 150) -> np.ndarray:
    index = np.random.default_rng(2).random((count, 3)) * (np.array(grid.size) - 1)
    return index @ grid.matrix[:3, :3].numpy().T + grid.matrix[:3, 3].numpy()


@pytest.mark.parametrize("moving_parent", KINDS)
@pytest.mark.parametrize("fixed_parent", ["none", "sheared", "bent and rotated"])
def test_put_on_the_moving_volume_the_transform_shows_it_on_the_fixed_one_in_the_world(
    scene, fixed_parent: str, moving_parent: str
) -> None:
    fixed, moving = pair(scene, fixed_parent, moving_parent)
    result = run(fixed, moving)
    x = scattered(image_from_node(fixed).grid)
    wanted = lps(result.result.transform.points(torch.from_numpy(x)).numpy())  # of the moving's world as it is now
    shown_before = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, moving.GetParentTransformNode(), shown_before)
    voxels_wanted = np.array([shown_before.TransformPoint(p) for p in wanted])

    moving.SetAndObserveTransformNodeID(result.transformNode.GetID())
    places = lps(world_of_local(moving, voxels_wanted))
    # sampled at 2 mm where the parent bends space; both ways through VTK's numeric inverses
    assert np.abs(places - x).max() < (0.3 if "bent" in moving_parent else 0.02)
    assert np.abs(wanted - lps(x)).max() > 1.0


@pytest.mark.parametrize("moving_parent", KINDS)
@pytest.mark.parametrize("fixed_parent", ["none", "sheared", "bent and rotated"])
def test_the_registered_volume_is_what_slicer_shows_of_the_moving_one_under_the_transform(
    scene, fixed_parent: str, moving_parent: str
) -> None:
    fixed, moving = pair(scene, fixed_parent, moving_parent)
    result = run(fixed, moving)
    registered = image_from_node(result.volumeNode)
    assert registered.grid.same_as(image_from_node(fixed).grid)

    moving.SetAndObserveTransformNodeID(result.transformNode.GetID())
    reference = node_from_image(registered, scene, "reference")  # without a parent, in the world
    shown = slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(moving, reference)
    shown.SetAndObserveTransformNodeID(None)
    difference = (image_from_node(shown).tensor.float() - registered.tensor.float())[:, 1:-1, 1:-1, 1:-1].abs()
    assert registered.tensor.float().std() > 50
    assert torch.quantile(difference, 0.995) <= 2.0  # of 1000: rounding to int16 on both sides; the rest is its border


@pytest.mark.parametrize("kind", ["rotated", "sheared", "two linear"])
def test_a_place_written_in_a_parent_registers_as_one_written_in_the_lattice(scene, kind: str) -> None:
    fixed, moving = pair(scene)
    plain = run(fixed, moving, model=model_of(Correlating(3)))
    parent = parent_of(kind, scene, MOVING)
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformFromWorld(matrix)
    local = vtk.vtkMatrix4x4()
    moving.GetIJKToRASMatrix(local)
    vtk.vtkMatrix4x4.Multiply4x4(matrix, local, local)
    voxels = image_from_node(moving)
    under = node_from_image(voxels, scene, "under")
    under.SetIJKToRASMatrix(local)
    under.SetAndObserveTransformNodeID(parent.GetID())
    assert image_from_node(under).grid.same_as(voxels.grid)
    again = run(fixed, under, model=model_of(Correlating(3)))
    x = torch.from_numpy(scattered(FIXED))
    assert (again.result.transform.points(x) - plain.result.transform.points(x)).abs().max() < 1e-3
    difference = slicer.util.arrayFromVolume(again.volumeNode) - slicer.util.arrayFromVolume(plain.volumeNode)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("moving_parent", ["none", "rotated", "bent and rotated"])
def test_a_shifted_phantom_comes_back_onto_the_fixed_one(scene, moving_parent: str) -> None:
    fixed, moving = pair(scene, "rotated", "rotated" if moving_parent == "rotated" else "none", (6.0, -4.0, 4.0))
    if moving_parent == "bent and rotated":
        parent = parent_of("bent", scene, MOVING)
        moving.SetAndObserveTransformNodeID(parent.GetID())
        fixed.SetAndObserveTransformNodeID(None)
    result = run(fixed, moving, model=model_of(Correlating(3)))
    target = slicer.util.arrayFromVolume(fixed).astype(float)
    got = slicer.util.arrayFromVolume(result.volumeNode).astype(float)
    assert np.corrcoef(target.ravel(), got.ravel())[0, 1] > 0.93


def test_the_saved_transform_and_the_saved_images_agree_in_simpleitk(scene, tmp_path) -> None:
    fixed, moving = pair(scene)
    result = run(fixed, moving, outputInverse=True)
    for node, name in ((fixed, "f.nrrd"), (moving, "m.nrrd"), (result.volumeNode, "w.nrrd"),
                       (result.transformNode, "T.h5"), (result.inverseNode, "I.h5")):  # fmt: skip
        save_node(node, tmp_path / name)
    read = {name: sitk.ReadImage(str(tmp_path / f"{name}.nrrd")) for name in "fmw"}
    transform = sitk.ReadTransform(str(tmp_path / "T.h5"))
    theirs = sitk.Resample(sitk.Cast(read["m"], sitk.sitkFloat32), read["f"], transform, sitk.sitkLinear, 0.0)
    ours = sitk.GetArrayFromImage(read["w"]).astype(float)
    assert read["w"].GetPixelID() == read["m"].GetPixelID() == sitk.sitkInt16
    # voxels within rounding of the moving image's border may fall on either side of it
    assert np.quantile(np.abs(sitk.GetArrayFromImage(theirs) - ours), 0.999) <= 0.51
    inverse = sitk.ReadTransform(str(tmp_path / "I.h5"))
    trips = [np.subtract(transform.TransformPoint(inverse.TransformPoint(p)), p) for p in scattered(MOVING)]
    assert np.median(np.abs(trips)) < 0.002 and np.abs(trips).max() < 0.3  # the field's edges are sharp here


def test_the_inverse_put_on_the_fixed_volume_shows_it_on_the_moving_one(scene) -> None:
    fixed, moving = pair(scene, "sheared", "rotated")
    result = run(fixed, moving, outputInverse=True)
    y = scattered(image_from_node(moving).grid)
    x = lps(result.result.inverse.points(torch.from_numpy(y)).numpy())
    before = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, fixed.GetParentTransformNode(), before)
    voxels = np.array([before.TransformPoint(p) for p in x])
    fixed.SetAndObserveTransformNodeID(result.inverseNode.GetID())
    assert np.abs(lps(world_of_local(fixed, voxels)) - y).max() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_and_their_parents_are_never_changed(scene, kind: str) -> None:
    fixed, moving = pair(scene, kind, kind)
    mask = node_from_image(Image(torch.ones((1, *FIXED.shape), dtype=torch.uint8), FIXED), scene, "mask", labelmap=True)
    inputs = [fixed, moving, mask]
    for node in (fixed, moving):
        parent = node.GetParentTransformNode()
        while parent is not None:
            inputs.append(parent)
            parent = parent.GetParentTransformNode()
    volumes = (fixed, moving, mask)
    before = [(node.GetTransformNodeID(), node.GetName(), node.GetMTime()) for node in inputs]
    voxels = [slicer.util.arrayFromVolume(node).copy() for node in volumes]
    count = scene.GetNumberOfNodes()
    result = run(fixed, moving, fixedMask=mask, outputInverse=True, outputTranslated=True)
    assert [(node.GetTransformNodeID(), node.GetName(), node.GetMTime()) for node in inputs] == before
    for node, array in zip(volumes, voxels, strict=True):
        assert np.array_equal(slicer.util.arrayFromVolume(node), array)
    made = [result.transformNode, result.volumeNode, result.inverseNode, result.translatedNode]
    assert all(node.GetScene() is scene for node in made)
    assert scene.GetNumberOfNodes() - count == len(made) + 2  # the two volumes' display nodes


def test_what_is_not_wanted_is_not_made_and_given_nodes_are_filled(scene) -> None:
    fixed, moving = pair(scene)
    bare = run(fixed, moving, outputVolume=False)
    assert bare.volumeNode is bare.inverseNode is bare.translatedNode is None and bare.transformNode is not None
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine too")
    count = scene.GetNumberOfNodes()
    filled = run(fixed, moving, outputTransform=transform, outputVolume=volume)
    assert filled.transformNode is transform and filled.volumeNode is volume
    assert transform.GetName() == "mine" and scene.GetNumberOfNodes() - count <= 1  # a display node at most
    assert slicer.util.arrayFromVolume(volume).shape == FIXED.shape


def test_result_nodes_look_and_refer_as_their_inputs(scene) -> None:
    fixed, moving = pair(scene)
    result = run(fixed, moving, outputTranslated=True)
    transform, volume = result.transformNode, result.volumeNode
    assert transform.GetNodeReference(transform.GetFixedNodeReferenceRole()) is fixed
    assert transform.GetNodeReference(transform.GetMovingNodeReferenceRole()) is moving
    assert json.loads(transform.GetAttribute(module.REPORT_ATTRIBUTE)) == json.loads(json.dumps(result.report))
    assert (volume.GetDisplayNode().GetWindow(), volume.GetDisplayNode().GetLevel()) == (700, 350)
    assert slicer.util.arrayFromVolume(volume).dtype == np.int16
    assert [n.GetName() for n in (transform, volume, result.translatedNode)] == ["T2 to T1", "T2 on T1", "T2 as T1"]
    again = run(fixed, moving)
    assert again.transformNode is not transform and again.transformNode.GetName() != transform.GetName()


def test_an_earlier_result_still_on_the_moving_volume_is_replaced_by_one_that_begins_there(scene) -> None:
    fixed, moving = pair(scene, shift=(9.0, 0.0, 0.0))
    first = run(fixed, moving, model=model_of(Correlating(3)), start="none")
    moving.SetAndObserveTransformNodeID(first.transformNode.GetID())
    second = run(fixed, moving, model=model_of(Correlating(3)), start="none", outputTransform=first.transformNode)
    assert second.transformNode is first.transformNode is moving.GetParentTransformNode()
    x = torch.from_numpy(scattered(FIXED))
    left = (second.result.transform.points(x) - x).norm(dim=1).mean()
    assert left < 1.5  # what the first run left, by whole voxels of 2 mm
    target, got = (slicer.util.arrayFromVolume(node).astype(float) for node in (fixed, second.volumeNode))
    assert np.corrcoef(target.ravel(), got.ravel())[0, 1] > 0.93


def test_a_transform_node_as_start_is_taken_as_if_put_on_the_moving_volume(scene, monkeypatch) -> None:
    fixed, moving = pair(scene, "none", "rotated")
    seen = []
    original = engine.register
    monkeypatch.setattr(engine, "register", lambda *a, **k: seen.append(k["start"]) or original(*a, **k))
    chosen = parent_of("two linear", scene, FIXED)
    run(fixed, moving, start=chosen)
    run(fixed, moving, start=moving.GetParentTransformNode())
    run(fixed, moving, start="centre")
    x = scattered(FIXED)
    from_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, chosen, from_world)
    expected = lps(world_of_local(moving, np.array([from_world.TransformPoint(p) for p in lps(x)])))
    assert isinstance(seen[0], Affine)
    np.testing.assert_allclose(seen[0].points(torch.from_numpy(x)), expected, atol=1e-6)
    assert torch.equal(seen[1].matrix, torch.eye(4, dtype=torch.float64)) and seen[2] == "centre"


@pytest.mark.parametrize("kind", ["none", "sheared", "bent"])
def test_masks_reach_the_engine_where_slicer_shows_them(scene, headless, monkeypatch, kind: str) -> None:
    fixed, moving = pair(scene, kind, kind)
    tensor = torch.zeros((1, *FIXED.shape), dtype=torch.uint8)
    tensor[0, 6:18, 7:20, 8:22] = 3
    labels = node_from_image(Image(tensor, FIXED), scene, "labels", labelmap=True)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segmentation")
    headless.segmentations.ImportLabelmapToSegmentationNode(labels, segmentation)
    segmentation.SetAndObserveTransformNodeID(fixed.GetTransformNodeID())
    seen = {}
    original = engine.register
    monkeypatch.setattr(engine, "register", lambda *a, **k: seen.update(k) or original(*a, **k))
    result = run(fixed, moving, fixedMask=segmentation, movingMask=None)
    assert seen["moving_mask"] is None and result.report["parameters"]["fixed_mask"] is True
    mask = seen["fixed_mask"]
    index = torch.nonzero(mask.tensor[0]).flip(-1).double()
    centre = (index @ mask.grid.matrix[:3, :3].T + mask.grid.matrix[:3, 3]).mean(0)
    own = torch.nonzero(tensor[0]).flip(-1).double() @ FIXED.matrix[:3, :3].T + FIXED.matrix[:3, 3]
    expected = lps(world_of_local(fixed, lps(own.numpy()))).mean(0)
    assert np.abs(centre.numpy() - expected).max() < (0.2 if kind == "bent" else 1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.96])
def test_a_cancelled_run_leaves_the_scene_as_it_was(scene, fraction: float) -> None:
    fixed, moving = pair(scene)
    transform = node_from_transform(Affine.identity(3), scene, "mine")
    told = [0.0]
    count, stamp = scene.GetNumberOfNodes(), transform.GetMTime()
    with pytest.raises(Cancelled):
        run(fixed, moving, outputTransform=transform, progress=lambda f, step: told.append(f),
            cancelled=lambda: told[-1] >= fraction)  # fmt: skip
    assert scene.GetNumberOfNodes() == count and transform.GetMTime() == stamp


def test_a_failure_while_nodes_are_made_takes_them_back(scene, monkeypatch) -> None:
    fixed, moving = pair(scene)
    names = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}

    def broken(*_, **__):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(module, "node_from_transform", broken)
    with pytest.raises(RuntimeError, match="fire"):
        run(fixed, moving, outputTranslated=True)
    after = {scene.GetNthNode(i).GetName() for i in range(scene.GetNumberOfNodes())} - {None}
    assert not any(name.startswith(("T2 on", "T2 as")) for name in after)
    assert len(names) == scene.GetNumberOfNodes()


def test_bad_choices_are_refused_before_anything_is_computed(scene, monkeypatch) -> None:
    fixed, moving = pair(scene, "rotated", "two linear")
    monkeypatch.setattr(engine, "register", lambda *a, **k: pytest.fail("computed all the same"))
    mine = scene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    above = moving.GetParentTransformNode().GetParentTransformNode()
    stranger = slicer.vtkMRMLScalarVolumeNode()
    stranger.SetName("stranger")
    refused = [
        (dict(fixedNode=None), "fixed volume is missing"),
        (dict(movingNode=None), "moving volume is missing"),
        (dict(movingNode=fixed), "same node"),
        (dict(movingNode=stranger), "'stranger' is in no scene"),
        (dict(outputVolume=moving), "'T2' cannot be an output"),
        (dict(outputVolume=fixed), "'T1' cannot be an output"),
        (dict(outputTransform=fixed.GetParentTransformNode()), "cannot be an output"),
        (dict(outputTransform=above), "cannot be an output"),
        (dict(outputInverse=moving.GetParentTransformNode()), "cannot be an output"),
        (dict(outputTransform=mine, outputInverse=mine), "two outputs"),
        (dict(outputTransform=scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "v")), "cannot hold"),
        (dict(outputVolume=mine), "cannot hold"),
    ]
    count = scene.GetNumberOfNodes()
    for change, word in refused:
        with pytest.raises(InputError, match=word):
            run(**{"fixedNode": fixed, "movingNode": moving, **change})
    assert scene.GetNumberOfNodes() == count


def test_the_same_nodes_give_the_same_field_as_the_engine_bit_for_bit(scene) -> None:
    fixed, moving = pair(scene, "rotated", "none")
    nodes = run(fixed, moving, model=model_of(Correlating(3)))
    plain = engine.register(
        image_from_node(fixed), image_from_node(moving), model=model_of(Correlating(3)), device="cpu"
    )
    assert torch.equal(nodes.result.transform.dense.field.tensor, plain.transform.dense.field.tensor)
    assert torch.equal(nodes.result.transform.affine.matrix, plain.transform.affine.matrix)
    assert torch.equal(image_from_node(nodes.volumeNode).tensor.float(), plain.warped.tensor.round())


def test_single_slices_are_registered_in_their_plane(scene, tmp_path) -> None:
    slice_grid = make_grid((40, 36, 1), (1.1, 0.9, 5.0), (-7, -5, 2), rotation(25, 10, -15))
    fixed = node_from_image(phantom(slice_grid), scene, "fixed slice")
    moving = node_from_image(phantom(slice_grid, (3, 2, 0)), scene, "moving slice")
    result = run(fixed, moving, model=model_of(Constant(0.7, -1.1)))
    theirs = sitk.ReadTransform(str(save_node(result.transformNode, tmp_path / "T.h5")))
    x = slice_grid.points(torch.float64).reshape(-1, 3)
    y = result.result.transform.points(x)
    assert np.abs(np.array([theirs.TransformPoint(p) for p in x.tolist()]) - y.numpy()).max() < 1e-4
    normal = torch.linalg.cross(slice_grid.matrix[:3, 0], slice_grid.matrix[:3, 1])
    assert ((y - x) @ normal / normal.norm()).abs().max() < 2.0 < (y - x).norm(dim=1).max()  # the start may leave it
    moving.SetAndObserveTransformNodeID(result.transformNode.GetID())
    shown = slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(moving, fixed)
    difference = slicer.util.arrayFromVolume(shown) - slicer.util.arrayFromVolume(result.volumeNode)
    assert np.abs(difference).max() < 0.1
