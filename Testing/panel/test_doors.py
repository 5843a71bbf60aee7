"""The real child where something bends space: it gives what Python gives, and parents are honoured."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import torch
from fakes import write_tiny_model
from harness.pairs import ball
from lattices import smooth_field

from DeepMultiModalRegLib.core import Affine, Composite, Grid
from DeepMultiModalRegLib.mrml import node_from_transform, register_nodes
from DeepMultiModalRegLib.panel.registration import Registration, Settings


@pytest.fixture
def tiny(monkeypatch, tmp_path) -> str:
    write_tiny_model(tmp_path / "models", "tiny-3d")
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path / "models"))
    return "tiny-3d"


def test_a_parent_that_bends_space_gives_the_same_through_the_child(headless, tiny, temporary_folder) -> None:
    fixed, moving = ball("T1"), ball("T2", (3, -2, 1))
    wide = Grid.regular((24, 24, 24), 3.0)
    parent = node_from_transform(smooth_field(wide, 1.5).closed(), headless.scene, "bent")
    moving.SetAndObserveTransformNodeID(parent.GetID())
    outcome = Registration(fixed, moving, Settings(model=tiny, device="cpu", start="none")).wait()
    nodes = register_nodes(fixed, moving, model=tiny, device="cpu", start="none")
    for x in ((0.0, 0.0, 0.0), (9.0, -7.0, 5.0), (-11.0, 3.0, -8.0)):
        found = outcome.transformNode.GetTransformFromParent().TransformPoint(x)
        assert np.allclose(found, nodes.transformNode.GetTransformFromParent().TransformPoint(x), atol=1e-6)
    first, second = (slicer.util.arrayFromVolume(n.volumeNode) for n in (outcome, nodes))
    assert np.array_equal(first, second)
    assert moving.GetParentTransformNode() is parent and list(temporary_folder.iterdir()) == []


def test_a_colour_volume_gives_the_same_through_the_child(headless, tiny, temporary_folder) -> None:
    fixed, grey = ball("T1"), ball("grey", (3, -2, 1))
    array = slicer.util.arrayFromVolume(grey)
    colours = np.stack([np.clip(array, 0, 255), array // 2, 255 - np.clip(array, 0, 255)], -1).astype(np.uint8)
    moving = slicer.util.addVolumeFromArray(colours, name="slide", nodeClassName="vtkMRMLVectorVolumeNode")
    moving.SetSpacing(2.0, 2.0, 2.0)
    moving.SetOrigin(grey.GetOrigin())
    outcome = Registration(fixed, moving, Settings(model=tiny, device="cpu")).wait()
    nodes = register_nodes(fixed, moving, model=tiny, device="cpu")
    first, second = (slicer.util.arrayFromVolume(n.volumeNode) for n in (outcome, nodes))
    assert first.shape == (*slicer.util.arrayFromVolume(fixed).shape, 3) and np.array_equal(first, second)
    found = [n.transformNode.GetTransformFromParent().TransformPoint(5.0, -7.0, 4.0) for n in (outcome, nodes)]
    assert np.allclose(*found, atol=1e-6) and "luminance" in " ".join(outcome.report["notes"])


def test_a_start_of_any_kind_goes_through_the_child_as_through_python(headless, tiny, temporary_folder) -> None:
    fixed, moving = ball("T1"), ball("T2", (3, -2, 1))
    field = smooth_field(Grid.regular((24, 24, 24), 3.0), 1.5).closed()
    shift = Affine.from_parts(torch.eye(3, dtype=torch.float64), torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64))
    starts = [field, Composite(field, shift), shift]
    for transform in starts:
        start = node_from_transform(transform, headless.scene, "start")
        before = start.GetMTime()
        outcome = Registration(fixed, moving, Settings(model=tiny, device="cpu", start=start)).wait()
        nodes = register_nodes(fixed, moving, model=tiny, device="cpu", start=start)
        found = [n.transformNode.GetTransformFromParent().TransformPoint(5.0, -7.0, 4.0) for n in (outcome, nodes)]
        assert np.allclose(*found, atol=1e-5) and start.GetMTime() == before
