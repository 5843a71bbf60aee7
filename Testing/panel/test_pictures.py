"""The comparisons in Slicer's own slice views, drawn off screen: they tell a good registration from none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import slicer
from conftest import ROOT

from DeepMultiModalRegLib.demo import set_window
from DeepMultiModalRegLib.io import read_transform
from DeepMultiModalRegLib.mrml import node_from_transform, nodes
from DeepMultiModalRegLib.mrml.pictures import mosaic, write_png
from DeepMultiModalRegLib.mrml.views import SliceView, can_draw
from DeepMultiModalRegLib.panel import derived
from DeepMultiModalRegLib.panel.comparison import Comparison

SAMPLE = ROOT / "Resources" / "SampleData"
SHOWN = {
    "blend": "Blend", "redCyan": "Red-cyan: what agrees is grey", "checkerboard": "Checkerboard", "grid": "Warped grid",
}  # fmt: skip


def test_the_comparisons_of_the_bundled_pair_show_the_true_transform_as_the_better_one(headless, tmp_path) -> None:
    if not can_draw():
        pytest.skip("this machine draws nothing off screen (EGL is missing)")
    scene = headless.scene
    fixed = headless.load_volume(SAMPLE / "fixed_t1.nii.gz", "T1")
    moving = headless.load_volume(SAMPLE / "moving_t2.nii.gz", "T2")
    for node in (fixed, moving):
        set_window(node)
    transform = node_from_transform(read_transform(SAMPLE / "truth.h5"), scene, "truth", fixed, moving)
    registered = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T2 on T1")
    moving.SetAndObserveTransformNodeID(transform.GetID())
    nodes.fill_volume(registered, nodes.image_data(derived.on_fixed_lattice(moving, fixed)), fixed)
    moving.SetAndObserveTransformNodeID(None)
    nodes.show_as(registered, moving)
    bounds = [0.0] * 6
    fixed.GetRASBounds(bounds)
    comparison = Comparison(scene, fixed, moving, registered, None, transform)
    with SliceView(headless.application, "Axial", (260, 290)) as view:
        view.look_at([(bounds[2 * i] + bounds[2 * i + 1]) / 2 for i in range(3)], 200.0)
        view.show(moving)
        before = view.pixels()
        known = scene.GetNumberOfNodes()
        pictures = {}
        for mode in SHOWN:
            for after in (False, True):
                comparison.show(mode, after, 0.5)
                pictures[mode, after] = view.pixels()
        comparison.close()
        assert np.array_equal(view.pixels(), before)  # the view is as it was, to the pixel
        assert scene.GetNumberOfNodes() == known and slicer.mrmlScene is scene
    assert all(picture.std() > 15 for picture in pictures.values())
    grey = {after: np.ptp(pictures["redCyan", after].astype(int), axis=-1).mean() for after in (False, True)}
    assert grey[True] < 0.9 * grey[False]  # less red and cyan where the edges meet
    yellow = [(p[..., 0] > 190) & (p[..., 1] > 150) & (p[..., 2] < 100) for p in (pictures["grid", True],
                                                                                  pictures["blend", True])]  # fmt: skip
    assert yellow[0].mean() > 0.03 > yellow[1].mean()
    folder = Path(os.environ.get("DEEPMULTIMODALREG_SCREENSHOTS", tmp_path))
    states = {"before": False, "after (the true transform)": True}
    rows = [(words, [pictures[mode, after] for mode in SHOWN]) for words, after in states.items()]
    write_png(mosaic(rows, "The panel's comparisons in Slicer's views", tuple(SHOWN.values())), folder / "compare.png")
