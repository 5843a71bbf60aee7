"""Pictures show volumes where they lie, and leave the scene as it was."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fakes import phantom
from lattices import LATTICES_3D, make_grid, rotation, transforms_near

from DeepMultiModalRegLib.core import Grid, Image, InputError
from DeepMultiModalRegLib.mrml import node_from_image, node_from_transform
from DeepMultiModalRegLib.mrml.overlay import Overlays, checkerboard
from DeepMultiModalRegLib.mrml.pictures import mosaic, text, write_png
from DeepMultiModalRegLib.mrml.plain_view import PlainView
from DeepMultiModalRegLib.mrml.views import ORIENTATIONS, SliceView, can_draw

GRID = make_grid((40, 36, 30), (1.4, 1.5, 1.9), (-27, -28, -26), rotation(4, -7, 12))
kinds = pytest.mark.parametrize("kind", ["slicer", "plain"])


def needs_graphics(kind: str = "slicer") -> None:
    if kind == "slicer" and not can_draw():
        pytest.skip("this machine draws nothing off screen (EGL is missing)")


def view_of(kind: str, headless, orientation: str, size=(120, 100)):
    needs_graphics(kind)
    return SliceView(headless.application, orientation, size) if kind == "slicer" else PlainView(orientation, size)


def shown(node, low: float = 0.0, high: float = 1000.0):
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevelMinMax(low, high)
    return node


@kinds
@pytest.mark.parametrize(
    "orientation, right, down",  # RAS: radiological, so patient's right is on the picture's left
    [("Axial", (-1, 0, 0), (0, -1, 0)), ("Coronal", (-1, 0, 0), (0, 0, -1)), ("Sagittal", (0, -1, 0), (0, 0, -1))],
)
def test_a_bright_spot_appears_where_it_lies(headless, kind: str, orientation: str, right, down) -> None:
    grid = Grid.regular((61, 61, 61), 1.0)
    spot = torch.zeros((1, *grid.shape))
    a, b = 14.0, -9.0  # mm to the right and down in the picture
    place = a * np.array(right) + b * np.array(down)
    i, j, k = (place * np.array([-1, -1, 1]) + 30).astype(int)
    spot[0, k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = 1000
    node = shown(node_from_image(Image(spot, grid), headless.scene, "spot"))
    with view_of(kind, headless, orientation) as view:
        view.look_at((0.0, 0.0, 0.0), 60.0)
        view.show(node)
        pixels = view.pixels().astype(float).sum(-1)
    assert pixels.shape == (100, 120)
    rows, columns = np.nonzero(pixels > 0.5 * pixels.max())
    pitch = 60.0 / 120
    assert columns.mean() == pytest.approx(59.5 + a / pitch, abs=1.1)
    assert rows.mean() == pytest.approx(49.5 + b / pitch, abs=1.1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("parent", ["none", "affine", "composite"])
def test_the_computed_picture_is_slicers(headless, orientation: str, parent: str) -> None:
    needs_graphics()
    fixed = shown(node_from_image(phantom(GRID), headless.scene, "fixed"))
    moving = shown(node_from_image(phantom(GRID, (4, -3, 2)), headless.scene, "moving"), 0, 800)
    moving.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeMagenta")
    if parent != "none":
        transform = transforms_near(LATTICES_3D["identity"])[parent]
        node = node_from_transform(transform, headless.scene, "T")
        moving.SetAndObserveTransformNodeID(node.GetID())
    pictures = {}
    for kind in ("slicer", "plain"):
        with view_of(kind, headless, orientation, (160, 140)) as view:
            view.look_at((3.0, 2.0, -1.0), 90.0)
            view.show(fixed, moving, 0.4)
            pictures[kind] = view.pixels().astype(float)
    difference = np.abs(pictures["slicer"] - pictures["plain"])
    assert pictures["slicer"].std() > 20
    assert difference.mean() < 2.0 and np.quantile(difference, 0.98) < 12


@kinds
def test_a_grid_is_drawn_over_the_volume_and_bends_with_the_transform(headless, kind: str) -> None:
    needs_graphics(kind)
    volume = shown(node_from_image(phantom(GRID), headless.scene, "volume"))
    overlays = Overlays(headless.application, (0, 0, 0), 80.0, (160, 160), slicer_views=kind == "slicer")
    plain = overlays.volume(volume)
    pictures = {}
    for name, transform in transforms_near(GRID).items():
        node = node_from_transform(transform, headless.scene, name)
        pictures[name] = overlays.grid(volume, node)
    for name in ("affine", "composite"):
        for before, after in zip(plain, pictures[name], strict=True):
            yellow = (after[..., 0] > 200) & (after[..., 1] > 160) & (after[..., 2] < 90)
            assert 0.05 < yellow.mean() < 0.5  # lines 12 mm apart, a pixel of half a millimetre or two wide
            assert (before[~yellow].astype(int) - after[~yellow]).std() < 40
    assert np.abs(pictures["affine"][0].astype(int) - pictures["composite"][0]).mean() > 3


@kinds
def test_drawing_leaves_the_scene_as_it_was(headless, kind: str) -> None:
    needs_graphics(kind)
    scene = headless.scene
    fixed = shown(node_from_image(phantom(GRID), scene, "fixed"))
    moving = shown(node_from_image(phantom(GRID, (4, -3, 2)), scene, "moving"))
    transform = node_from_transform(transforms_near(GRID)["composite"], scene, "T", fixed, moving)
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    overlays = Overlays(headless.application, (0, 0, 0), 90.0, (80, 70), slicer_views=kind == "slicer")
    for pictures in (overlays.blend(fixed, moving), overlays.volume(fixed), overlays.grid(fixed, transform)):
        assert [p.shape for p in pictures] == [(70, 80, 3)] * 3 and all(p.std() > 5 for p in pictures)
    assert {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())} == before
    assert headless.application.GetSliceLogics().GetNumberOfItems() == 0


def test_a_checkerboard_takes_its_squares_in_turn_from_both_images() -> None:
    grid = Grid.regular((60, 50, 40), (1.0, 1.0, 2.0))
    low = Image(torch.full((1, *grid.shape), 100.0), grid)
    high = Image(torch.full((1, *grid.shape), -500.0), grid)
    board = checkerboard(low, high, ((0, 200), (-500, 0)), 10.0)
    assert board.tensor.dtype == torch.uint8
    assert set(board.tensor.unique().tolist()) == {0, 128}
    assert (board.tensor == 128).float().mean().item() == pytest.approx(0.5, abs=0.02)
    row = board.tensor[0, 21, 26].int()
    assert (row.diff() != 0).sum() == 5 and row[0] != row[12]  # every 10 mm, along every axis
    assert (board.tensor[0, :, 26, 31].int().diff() != 0).sum() == 7
    with pytest.raises(InputError, match="one lattice"):
        checkerboard(low, Image(high.tensor[..., 1:], grid.cropped((1, 0, 0), (59, 50, 40))), ((0, 1), (0, 1)))


def test_words_are_drawn_and_a_mosaic_keeps_its_pictures(tmp_path) -> None:
    words = text("before: as scanned")
    assert words.shape[2] == 3 and words.shape[1] > 3 * words.shape[0] and words.max() > 150
    assert text("longer words than these").shape[1] > text("short").shape[1]
    pictures = [np.full((40, 60, 3), shade, np.uint8) for shade in (60, 120, 180)]
    out = mosaic([("one", pictures), ("two", pictures)], "Title", ("a", "b", "c"))
    for shade in (60, 120, 180):
        assert (out == shade).all(-1).sum() == 2 * 40 * 60
    path = write_png(out, tmp_path / "mosaic.png")
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert np.array_equal(read, out)
    with pytest.raises(InputError):
        write_png(out, tmp_path / "no folder" / "mosaic.png")
