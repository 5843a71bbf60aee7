"""The comparisons in Slicer's own slice views, drawn off screen: they tell a good registration from none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import slicer
from conftest import ROOT

from DeepMultiModalRegLib.demo import set_window
from DeepMultiModalRegLib.mrml import register_nodes
from DeepMultiModalRegLib.mrml.pictures import mosaic, write_png
from DeepMultiModalRegLib.mrml.scene import HeadlessScene
from DeepMultiModalRegLib.mrml.views import SliceView, can_draw
from DeepMultiModalRegLib.panel import models
from DeepMultiModalRegLib.panel.comparison import FOUR, PAIR, Comparison

SAMPLE = ROOT / "Resources" / "SampleData"
SHOWN = {"blend": "Blend", "redCyan": "Red-cyan", "checkerboard": "Checkerboard", "grid": "Warped grid"}
SIZE = (176, 200)


class Registered:
    """The bundled pair registered by a shipped model, and its comparison in four of Slicer's views."""

    def __init__(self, model: str) -> None:
        self.headless = HeadlessScene()
        self.headless.add_views()
        self.scene, application = self.headless.scene, self.headless.application
        self.fixed = self.headless.load_volume(SAMPLE / "fixed_t1.nii.gz", "T1")
        self.moving = self.headless.load_volume(SAMPLE / "moving_t2.nii.gz", "T2")
        for node in (self.fixed, self.moving):
            set_window(node)
        found = register_nodes(self.fixed, self.moving, model=model, device="cpu", outputTranslated=True)
        self.registered, self.translated = found.volumeNode, found.translatedNode
        self.comparison = Comparison(
            self.scene, self.fixed, self.moving, self.registered, self.translated, found.transformNode
        )
        slices = {n.GetName(): n for n in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        self.views = {name: SliceView(application, size=SIZE, node=slices[name]) for name in FOUR}
        bounds = [0.0] * 6
        self.fixed.GetRASBounds(bounds)
        self.centre = [(bounds[2 * i] + bounds[2 * i + 1]) / 2 for i in range(3)]
        orientations = ("Axial", "Axial", "Coronal", "Sagittal")
        for view, orientation in zip(self.views.values(), orientations, strict=True):
            view.node.SetOrientation(orientation)
            view.look_at(self.centre, 190.0)
        self.link = slicer.vtkMRMLSliceLinkLogic()
        self.link.SetMRMLApplicationLogic(application)
        self.link.SetMRMLScene(self.scene)

    def pictures(self, names=FOUR) -> dict[str, np.ndarray]:
        return {name: self.views[name].pixels() for name in names}

    def alone(self, volume) -> np.ndarray:
        """The volume in the view Red."""
        self.comparison.close()
        layers = self.views["Red"].logic.GetSliceCompositeNode()
        before = layers.GetBackgroundVolumeID()
        layers.SetBackgroundVolumeID(volume.GetID())
        picture = self.views["Red"].pixels()
        layers.SetBackgroundVolumeID(before)
        return picture


@pytest.fixture(scope="module")
def shown():
    shipped = [m.name for m in models.installed() if m.name.startswith("hierarchical") and m.dimension == 3]
    assert shipped
    if not can_draw():
        pytest.skip("this machine draws nothing off screen (EGL is missing)")
    found = Registered(shipped[0])
    yield found
    found.comparison.close()
    found.link.SetMRMLScene(None)
    for view in found.views.values():
        view.close()


@pytest.fixture(autouse=True)
def current(shown):
    slicer.mrmlScene = shown.scene


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where pictures for the README go."""
    return Path(os.environ.get("DEEPMULTIMODALREG_SCREENSHOTS", tmp_path))


def save(rows, title: str, columns, path: Path) -> None:
    from harness.small_png import save_small
    from PySide6 import QtGui

    write_png(mosaic(rows, title, columns), path)
    save_small(QtGui.QImage(str(path)), path)


def differ(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of grey values."""
    return float(np.abs(a.astype(float) - b).mean())


def test_every_comparison_looks_different_before_and_after_and_gives_the_views_back_to_the_pixel(shown, folder) -> None:
    comparison = shown.comparison
    for view in shown.views.values():
        view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(shown.moving.GetID())
    before, known = shown.pictures(), shown.scene.GetNumberOfNodes()
    pictures = {}
    for mode in (*SHOWN, "flicker", "sideBySide", "together", "difference"):
        for after in (False, True):
            comparison.show(mode, after, 0.5)
            pictures[mode, after] = shown.pictures(("Red",))["Red"]
        comparison.close()
        again = shown.pictures()
        assert all(np.array_equal(before[name], again[name]) for name in FOUR), mode
    assert shown.scene.GetNumberOfNodes() == known
    assert all(picture.std() > 15 for picture in pictures.values())
    assert all(differ(pictures[mode, False], pictures[mode, True]) > 2 for mode in SHOWN)
    colour = {after: np.ptp(pictures["redCyan", after].astype(int), axis=-1).mean() for after in (False, True)}
    assert colour[True] < 0.9 * colour[False]  # less red and cyan where the edges meet
    yellow = [(p[..., 0] > 190) & (p[..., 1] > 150) & (p[..., 2] < 100)
              for p in (pictures["grid", True], pictures["blend", True])]  # fmt: skip
    assert yellow[0].mean() > 0.03 > yellow[1].mean()
    words = {"before": False, "after": True}
    rows = [(word, [pictures[mode, after] for mode in SHOWN]) for word, after in words.items()]
    save(rows, "Compare: T1 (fixed) and T2", tuple(SHOWN.values()), folder / "compare.png")


def test_flicker_shows_fixed_and_registered_volume_in_turn(shown) -> None:
    alone = [shown.alone(volume) for volume in (shown.fixed, shown.registered)]
    shown.comparison.show("flicker", True)
    seen = []
    for _ in range(4):
        seen.append(shown.pictures(("Red",))["Red"])
        shown.comparison.tick()
    shown.comparison.close()
    for number, picture in enumerate(seen):
        assert differ(picture, alone[number % 2]) < 1 < 5 < differ(picture, alone[1 - number % 2])


def test_side_by_side_shows_one_plane_of_both_volumes_and_scrolls_them_together(shown, folder) -> None:
    alone = [shown.alone(volume) for volume in (shown.fixed, shown.registered)]
    shown.comparison.show("sideBySide", True)
    pictures = shown.pictures(PAIR)
    assert all(differ(p, a) < 1 for p, a in zip(pictures.values(), alone, strict=True))
    red, yellow = (shown.views[name].logic for name in PAIR)
    start = red.GetSliceOffset()
    red.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.SliceToRASFlag)
    red.SetSliceOffset(start + 20.0)
    red.EndSliceNodeInteraction()
    assert yellow.GetSliceOffset() == pytest.approx(start + 20.0)
    assert differ(shown.pictures(("Yellow",))["Yellow"], pictures["Yellow"]) > 5
    shown.comparison.close()
    assert red.GetSliceOffset() == pytest.approx(start)
    assert shown.views["Yellow"].node.GetOrientation() == "Sagittal"
    save([("T1 (fixed), T2 registered", list(pictures.values()))], "Side by side", (), folder / "side-by-side.png")


def test_all_volumes_stand_in_views_of_their_own(shown, folder) -> None:
    volumes = (shown.fixed, shown.moving, shown.registered, shown.translated)
    alone = [shown.alone(volume) for volume in volumes]
    shown.comparison.show("together")
    pictures = list(shown.pictures().values())
    shown.comparison.close()
    assert all(differ(p, a) < 1 for p, a in zip(pictures, alone, strict=True))
    rows = [("T1 (fixed), T2 (moving)", pictures[:2]), ("T2 registered, T2 translated into T1", pictures[2:])]
    save(rows, "All volumes", (), folder / "all-volumes.png")


def test_the_difference_to_the_translated_volume_is_small_where_both_agree(shown, folder) -> None:
    shown.comparison.show("difference", True)
    layers = shown.views["Red"].logic.GetSliceCompositeNode()
    node = shown.scene.GetNodeByID(layers.GetBackgroundVolumeID())
    found = slicer.util.arrayFromVolume(node).astype(float)
    pictures = list(shown.pictures(("Red", "Green", "Yellow")).values())
    shown.comparison.close()
    assert layers.GetBackgroundVolumeID() != node.GetID() and node.GetScene() is None
    t1, fake = (slicer.util.arrayFromVolume(v).astype(float) for v in (shown.fixed, shown.translated))
    assert np.abs(found - (t1 - fake)).max() < 1e-3
    assert np.abs(found).mean() < np.abs(t1 - slicer.util.arrayFromVolume(shown.registered)).mean()
    colour = np.concatenate([p.reshape(-1, 3) for p in pictures]).astype(int)
    assert (colour[:, 0] > colour[:, 2] + 50).any() and (colour[:, 2] > colour[:, 0] + 50).any()
    assert np.median(colour[found_inside(pictures)].max(1)) < 128  # agreement is dark
    words = "black: both agree; red: T1 is brighter; blue: T1 is darker"
    save([(words, pictures)], "Difference of T1 and translated T2", (), folder / "difference.png")


def found_inside(pictures) -> np.ndarray:
    """The pixels of the pictures' middles, where the head is."""
    inside = []
    for picture in pictures:
        mask = np.zeros(picture.shape[:2], dtype=bool)
        h, w = mask.shape
        mask[h // 3 : 2 * h // 3, w // 3 : 2 * w // 3] = True
        inside.append(mask.ravel())
    return np.concatenate(inside)
