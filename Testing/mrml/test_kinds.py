"""Volumes that are not one grey image: vector volumes, label maps, sequences, single slices, as nodes of the scene."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import torch
from fakes import Constant, Correlating, model_of, phantom
from lattices import make_grid, rotation
from parents import lps, parent_of
from vtk.util import numpy_support

from DeepMultiModalRegLib.core import Cancelled, Grid, Image, InputError, resample
from DeepMultiModalRegLib.io import PixelInfo
from DeepMultiModalRegLib.mrml import (
    image_from_node,
    node_from_image,
    register_nodes,
    register_sequence,
    transform_from_node,
)

FIXED = make_grid((30, 28, 24), (1.4, 1.5, 1.7), (-20, -21, -20), rotation(4, -7, 12))
MOVING = make_grid((26, 30, 28), (1.6, 1.4, 1.5), (-23, 24, -18), rotation(-6, 5, -9) @ np.diag([1, -1, 1]))
MODEL = model_of(Constant(0.7, -1.1, 0.4))


def fixed_node(scene):
    return node_from_image(phantom(FIXED), scene, "T1", pixel=PixelInfo("int16"))


def colours() -> Image:
    grey = phantom(MOVING, (3.0, -2.0, 4.0), height=250.0).tensor
    return Image(torch.cat([grey, 0.5 * grey, 250 - grey]).round().to(torch.uint8), MOVING)


def test_a_vector_volume_goes_into_the_scene_and_comes_back(scene):
    node = node_from_image(colours(), scene, "rgb")
    assert node.IsA("vtkMRMLVectorVolumeNode") and node.GetImageData().GetNumberOfScalarComponents() == 3
    again = image_from_node(node)
    assert torch.equal(again.tensor, colours().tensor) and again.grid.same_as(MOVING)


@pytest.mark.parametrize("parent", ["none", "sheared", "bent"])
def test_a_volume_in_colour_is_registered_by_its_luminance_and_comes_out_in_colour(scene, parent):
    fixed, moving = fixed_node(scene), node_from_image(colours(), scene, "rgb")
    above = parent_of(parent, scene, MOVING)
    moving.SetAndObserveTransformNodeID(None if above is None else above.GetID())
    result = register_nodes(fixed, moving, model=MODEL, device="cpu")
    assert result.volumeNode.IsA("vtkMRMLVectorVolumeNode") and "luminance" in result.report["notes"][0]
    written = image_from_node(result.volumeNode)
    expected = resample(colours(), FIXED, transform_from_node(result.transformNode, FIXED), "linear", 0.0).tensor
    difference = (written.tensor.float() - expected).abs()
    assert written.tensor.dtype == torch.uint8 and difference.quantile(0.99) <= 0.6 and expected.max() > 150


def test_a_channel_of_a_vector_volume_can_be_chosen_and_a_wrong_one_is_refused(scene):
    fixed, moving = fixed_node(scene), node_from_image(colours(), scene, "rgb")
    result = register_nodes(fixed, moving, model=MODEL, device="cpu", movingChannel=1, outputVolume=False)
    assert "channel 1" in result.report["notes"][0]
    with pytest.raises(InputError, match="'rgb'.*no channel '3'"):
        register_nodes(fixed, moving, model=MODEL, movingChannel=3)
    plain = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "plain")
    with pytest.raises(InputError, match="vector volume"):
        register_nodes(fixed, moving, model=MODEL, outputVolume=plain)
    assert plain.GetImageData() is None


def label_map() -> Image:
    image = phantom(MOVING)
    return image.with_tensor((image.tensor > 200).to(torch.int16) * 7 + (image.tensor > 700).to(torch.int16) * 900)


@pytest.mark.parametrize("parent", ["none", "rotated", "bent"])
def test_a_label_map_as_the_moving_volume_keeps_its_labels(scene, parent):
    fixed, moving = fixed_node(scene), node_from_image(label_map(), scene, "labels", labelmap=True)
    above = parent_of(parent, scene, MOVING)
    moving.SetAndObserveTransformNodeID(None if above is None else above.GetID())
    result = register_nodes(fixed, moving, model=MODEL, device="cpu")
    assert result.volumeNode.IsA("vtkMRMLLabelMapVolumeNode") and "nearest neighbour" in result.report["notes"][-1]
    written = image_from_node(result.volumeNode).tensor
    assert set(written.unique().tolist()) == {0, 7, 907}
    expected = resample(label_map(), FIXED, transform_from_node(result.transformNode, FIXED), "nearest", 0).tensor
    assert (written == expected).double().mean() > 0.998


@pytest.mark.parametrize("planes", [1, 2])
def test_a_volume_of_one_or_two_slices_is_registered(scene, planes):
    grid = make_grid((48, 40, planes), (1.5, 1.5, 5.0), (3, 4, 5), rotation(5, 8, -12))
    shift = np.array(grid.direction).reshape(3, 3) @ np.array([4.0, -6.0, 0.0])
    fixed = node_from_image(phantom(grid), scene, "a", pixel=PixelInfo("int16"))
    moving = node_from_image(phantom(grid, shift), scene, "b", pixel=PixelInfo("int16"))
    result = register_nodes(fixed, moving, model=model_of(Correlating(2)), start="none", device="cpu")
    middle = grid.centre[None]
    found = (transform_from_node(result.transformNode, grid).points(middle) - middle)[0]
    np.testing.assert_allclose(found.numpy(), shift, atol=0.05)


SHIFTS = {"0": (0.0, 0.0, 0.0), "0.5": (3.0, -2.0, 4.0), "2.5": (-4.0, 3.0, 2.0)}


def sequence_of(scene, parent: str = "none"):
    """A sequence of phantoms shown by a browser, its proxy under a parent."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    scratch = slicer.vtkMRMLScene()
    for value, shift in SHIFTS.items():
        frame = node_from_image(phantom(MOVING, shift), scratch, "frame", pixel=PixelInfo("int16"))
        sequence.SetDataNodeAtValue(frame, value)
    if parent != "none":
        scene.RegisterNodeClass(slicer.vtkMRMLSequenceBrowserNode())  # what Slicer's module Sequences does
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        proxy = node_from_image(phantom(MOVING), scene, "Cine")
        browser.AddProxyNode(proxy, sequence, False)
        proxy.SetAndObserveTransformNodeID(parent_of(parent, scene, MOVING).GetID())
    return sequence


def names(scene) -> list[str]:
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


@pytest.mark.parametrize("parent", ["none", "rotated"])
def test_every_frame_of_a_sequence_gets_its_transform_at_its_time(scene, parent):
    fixed, sequence = fixed_node(scene), sequence_of(scene, parent)
    told: list[str] = []
    result = register_sequence(
        fixed, sequence, model=model_of(Correlating(3)), device="cpu", progress=lambda _f, step: told.append(step)
    )
    assert [result.transforms.GetNthIndexValue(n) for n in range(3)] == list(SHIFTS)
    assert result.transforms.GetIndexName() == "time" and result.transforms.GetIndexUnit() == "s"
    middle = FIXED.centre[None]
    for n, (value, shift) in enumerate(SHIFTS.items()):
        transform = transform_from_node(result.transforms.GetDataNodeAtValue(value))
        found = transform.points(middle)[0].numpy()
        # the voxel that the middle shows, in the frame's own space, where no parent moves it
        np.testing.assert_allclose(found, (MOVING.centre + torch.tensor(shift)).numpy(), atol=2.0)
        volume = image_from_node(result.volumes.GetDataNodeAtValue(value))
        expected = resample(phantom(MOVING, shift), FIXED, transform).tensor
        assert volume.grid.same_as(FIXED) and (volume.tensor - expected).abs().double().quantile(0.99) < 1.1
        assert result.reports[n]["model"]["name"] == "fake"
    assert any("frame 3 of 3" in step for step in told)


def test_the_sequence_and_the_scene_are_otherwise_as_they_were(scene):
    fixed, sequence = fixed_node(scene), sequence_of(scene, "rotated")
    before, frame = names(scene), sequence.GetNthDataNode(1)
    voxels = numpy_support.vtk_to_numpy(frame.GetImageData().GetPointData().GetScalars()).copy()
    result = register_sequence(fixed, sequence, outputVolumes=False, model=MODEL, device="cpu")
    assert result.volumes is None
    assert names(scene) == sorted([*before, result.transforms.GetID()])
    assert np.array_equal(numpy_support.vtk_to_numpy(frame.GetImageData().GetPointData().GetScalars()), voxels)
    assert frame.GetTransformNodeID() is None


def test_a_cancelled_sequence_leaves_the_scene_as_it_was(scene):
    fixed, sequence = fixed_node(scene), sequence_of(scene)
    before, calls = names(scene), []

    def cancelled() -> bool:
        calls.append(1)
        return len(calls) > 15  # in the second frame or later

    with pytest.raises(Cancelled):
        register_sequence(fixed, sequence, model=MODEL, device="cpu", cancelled=cancelled)
    assert names(scene) == before


def test_what_is_no_sequence_of_volumes_is_refused(scene):
    fixed, empty = fixed_node(scene), scene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    for moving in (None, fixed, empty):
        with pytest.raises(InputError, match="sequence"):
            register_sequence(fixed, moving, model=MODEL)
    sequence = sequence_of(scene)
    with pytest.raises(InputError, match="cannot be an output"):
        register_sequence(fixed, sequence, outputTransforms=sequence, model=MODEL)
    with pytest.raises(InputError, match="without movingMask"):
        register_sequence(fixed, sequence, movingMask=fixed, model=MODEL)


def test_points_are_carried_the_way_the_frames_are(scene):
    """Each transform is FROM parent: Slicer shows a frame's point where the fixed image has it."""
    fixed, sequence = fixed_node(scene), sequence_of(scene)
    result = register_sequence(fixed, sequence, outputVolumes=False, model=model_of(Correlating(3)), device="cpu")
    node = result.transforms.GetDataNodeAtValue("0.5")
    point = lps((MOVING.centre + torch.tensor(SHIFTS["0.5"]))[None].numpy())[0]
    shown = np.array(node.GetTransformToParent().TransformPoint(point))
    np.testing.assert_allclose(shown, lps(FIXED.centre[None].numpy())[0], atol=1.0)


def test_the_lattice_of_a_sheared_volume_is_kept_in_the_scene(scene):
    axes = np.array([[1.0, 0.25, 0.0], [0.0, 1.0, -0.2], [0.1, 0.0, 1.0]])
    axes /= np.linalg.norm(axes, axis=0)
    grid = Grid((30, 28, 24), (1.4, 1.5, 1.7), (-20, -21, -20), tuple(axes.ravel()))
    fixed = node_from_image(phantom(grid), scene, "sheared", pixel=PixelInfo("int16"))
    assert image_from_node(fixed).grid.same_as(grid)
    moving = node_from_image(phantom(MOVING, (3.0, -2.0, 4.0)), scene, "T2", pixel=PixelInfo("int16"))
    result = register_nodes(fixed, moving, model=model_of(Correlating(3)), device="cpu")
    written = image_from_node(result.volumeNode)
    expected = resample(phantom(MOVING, (3.0, -2.0, 4.0)), grid, transform_from_node(result.transformNode)).tensor
    assert written.grid.same_as(grid) and (written.tensor - expected).abs().double().quantile(0.99) < 1.1
