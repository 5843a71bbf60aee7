"""The real child: panel, Python and command line give the same field; parents that bend space are honoured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import torch
from conftest import ROOT
from fakes import write_tiny_model
from harness.pairs import ball
from lattices import smooth_field

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.io import read_transform
from DeepMultiModalRegLib.mrml import node_from_transform, register_nodes, transform_from_node
from DeepMultiModalRegLib.panel.registration import Registration, Settings

SAMPLE = ROOT / "Resources" / "SampleData"


@pytest.fixture
def tiny(monkeypatch, tmp_path) -> str:
    write_tiny_model(tmp_path / "models", "tiny-3d")
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path / "models"))
    return "tiny-3d"


def test_the_bundled_pair_through_the_child_python_and_the_command_line_gives_one_field(
    headless, tiny, tmp_path, temporary_folder
) -> None:
    from DeepMultiModalRegLib.cli import main

    fixed = headless.load_volume(SAMPLE / "fixed_t1.nii.gz", "T1")
    moving = headless.load_volume(SAMPLE / "moving_t2.nii.gz", "T2")
    before = {n.GetName(): (n.GetMTime(), slicer.util.arrayFromVolume(n).copy()) for n in (fixed, moving)}
    outcome = Registration(fixed, moving, Settings(model=tiny, device="cpu", outputTranslated=True)).wait()
    nodes = register_nodes(fixed, moving, model=tiny, device="cpu", outputTranslated=True)
    ours, theirs = transform_from_node(outcome.transformNode), transform_from_node(nodes.transformNode)
    assert torch.equal(ours.dense.field.tensor, theirs.dense.field.tensor)
    assert torch.equal(ours.affine.matrix, theirs.affine.matrix)
    for one, other in ((outcome.volumeNode, nodes.volumeNode), (outcome.translatedNode, nodes.translatedNode)):
        assert np.array_equal(slicer.util.arrayFromVolume(one), slicer.util.arrayFromVolume(other))
    arguments = ["register", "--fixed", SAMPLE / "fixed_t1.nii.gz", "--moving", SAMPLE / "moving_t2.nii.gz"]
    arguments += ["--model", tiny, "--device", "cpu", "--output-transform", tmp_path / "T.h5"]
    assert main([str(a) for a in arguments]) == 0
    x = ours.dense.field.grid.points(torch.float64).reshape(-1, 3)[::97]
    written = read_transform(tmp_path / "T.h5")
    assert (written.points(x) - ours.points(x)).norm(dim=1).max() < 1e-4  # Slicer rounds a NIfTI's header to float32
    for node in (fixed, moving):
        time, array = before[node.GetName()]
        assert node.GetMTime() == time and np.array_equal(slicer.util.arrayFromVolume(node), array)
    report = json.loads(outcome.transformNode.GetAttribute("DeepMultiModalReg.Report"))
    assert report["similarity"] == nodes.report["similarity"]
    assert list(temporary_folder.iterdir()) == []


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
