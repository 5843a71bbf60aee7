"""The command `register` with inputs that are not one grey volume: colour, sequences, label maps, sheared axes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fakes import phantom, write_tiny_model
from lattices import make_grid, rotation, sitk_image, sitk_resample

from DeepMultiModalRegLib.cli import main
from DeepMultiModalRegLib.core import Grid, Image, resample, split
from DeepMultiModalRegLib.io import read_image, read_transform, write_image

GRID = make_grid((26, 24, 22), (2, 2.1, 1.9), (30, -60, 12), rotation(8, -5, 20))
OTHER = make_grid((28, 26, 24), (2, 2, 2), (10, -40, 0), np.eye(3))
SHEAR = np.array([[1.0, 0.25, 0.0], [0.0, 1.0, -0.2], [0.1, 0.0, 1.0]])


@pytest.fixture(autouse=True)
def models(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder, "tiny")
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(folder))
    monkeypatch.setattr("DeepMultiModalRegLib.engine.catalogue.SHIPPED", ())


@pytest.fixture
def out(tmp_path) -> Path:
    sitk.WriteImage(sitk.Cast(sitk_image(phantom(GRID)), sitk.sitkInt16), str(tmp_path / "fixed.nrrd"))
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def run(out: Path, moving: Path, *more: object, fixed: Path | None = None) -> int:
    words = ["register", "--fixed", fixed or out.parent / "fixed.nrrd", "--moving", moving, "--model", "tiny"]
    return main([str(word) for word in (*words, "--output-transform", out / "t.h5", *more)])


def voxels(picture: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(picture)


def resampled(out: Path, moving: sitk.Image, transform: str = "t.h5", mode=sitk.sitkLinear) -> np.ndarray:
    fixed = sitk.ReadImage(str(out.parent / "fixed.nrrd"))
    return voxels(sitk.Resample(moving, fixed, sitk.ReadTransform(str(out / transform)), mode, 0.0))


def test_an_image_in_colour_is_registered_by_its_luminance_and_written_in_colour(out, capsys):
    grey = phantom(OTHER, height=250.0).tensor
    colours = Image(torch.cat([grey, grey * 0.5, 250 - grey]).round().to(torch.uint8), OTHER)
    write_image(colours, out.parent / "rgb.nrrd")
    assert run(out, out.parent / "rgb.nrrd", "--output-volume", out / "w.nrrd", "--report", out / "r.json") == 0
    written = sitk.ReadImage(str(out / "w.nrrd"))
    assert written.GetNumberOfComponentsPerPixel() == 3 and written.GetPixelID() == sitk.sitkVectorUInt8
    expected = resampled(out, sitk.ReadImage(str(out.parent / "rgb.nrrd")))
    assert np.quantile(np.abs(voxels(written).astype(float) - expected), 0.99) <= 1.01
    notes = json.loads((out / "r.json").read_text())["notes"]
    assert "luminance" in notes[0] and notes[0] in capsys.readouterr().out


def test_the_channel_asked_for_is_the_one_registered(out):
    noise = torch.rand((1, *OTHER.shape), generator=torch.Generator().manual_seed(1)) * 200
    write_image(Image(torch.cat([noise, phantom(OTHER, height=250.0).tensor]), OTHER), out.parent / "two.nrrd")
    assert run(out, out.parent / "two.nrrd", "--moving-channel", "1", "--report", out / "r.json") == 0
    report = json.loads((out / "r.json").read_text())
    assert "channel 1" in report["notes"][0] and report["similarity"]["start"] > 1.2  # with noise it is 1.0
    assert run(out, out.parent / "two.nrrd", "--moving-channel", "2") == 2


def sequence(path: Path, shifts: list[tuple[float, ...]]) -> None:
    frames = [sitk.Cast(sitk_image(phantom(OTHER, shift)), sitk.sitkInt16) for shift in shifts]
    sitk.WriteImage(sitk.JoinSeries(frames), str(path))


def test_every_frame_of_a_sequence_gets_its_transform_and_the_frames_come_out_as_one_file(out):
    shifts = [(0.0, 0, 0), (5.0, -3.0, 2.0), (-4.0, 4.0, 6.0)]
    sequence(out.parent / "4d.nii.gz", shifts)
    asked = ("--output-inverse", out / "i.tfm", "--output-volume", out / "w.nii.gz", "--report", out / "r.json")
    assert run(out, out.parent / "4d.nii.gz", *asked) == 0
    names = [f"{name}-00{n}.{kind}" for name, kind in (("i", "tfm"), ("t", "h5")) for n in range(3)]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "r.json", "w.nii.gz"])
    middle = GRID.centre[None]
    written = sitk.ReadImage(str(out / "w.nii.gz"))
    assert written.GetSize() == (*GRID.size, 3) and written.GetPixelID() == sitk.sitkInt16
    for n, shift in enumerate(shifts):
        found = split(read_transform(out / f"t-00{n}.h5"), 3)[1].points(middle)[0] - OTHER.centre
        np.testing.assert_allclose(found.numpy(), shift, atol=0.5)
        expected = resampled(out, sitk_image(phantom(OTHER, shift)), f"t-00{n}.h5")
        assert np.quantile(np.abs(voxels(written[:, :, :, n]) - expected), 0.99) < 1.5
        back = read_transform(out / f"i-00{n}.tfm").points(read_transform(out / f"t-00{n}.h5").points(middle))
        assert (back - middle).norm() < 0.01
    report = json.loads((out / "r.json").read_text())
    assert len(report["frames"]) == 3 and "Frame 2" in report["frames"][2]["notes"][0]


def test_one_frame_of_a_sequence_is_one_registration(out):
    sequence(out.parent / "4d.nrrd", [(0.0, 0, 0), (5.0, -3.0, 2.0)])
    assert run(out, out.parent / "4d.nrrd", "--moving-frame", 1) == 0
    assert [p.name for p in out.iterdir()] == ["t.h5"]
    assert run(out, out.parent / "4d.nrrd", "--moving-frame", 2) == 2


def test_a_sequence_as_the_fixed_image_needs_a_frame(out, capsys):
    sequence(out.parent / "4d.nrrd", [(0.0, 0, 0), (5.0, -3.0, 2.0)])
    assert run(out, out.parent / "fixed.nrrd", fixed=out.parent / "4d.nrrd") == 2
    assert "sequence of 2 frames" in capsys.readouterr().err
    assert run(out, out.parent / "fixed.nrrd", "--fixed-frame", 1, fixed=out.parent / "4d.nrrd") == 0


def test_a_frame_s_transform_never_overwrites_an_input(out, capsys):
    sequence(out.parent / "4d.nrrd", [(0.0, 0, 0), (5.0, -3.0, 2.0)])
    (out.parent / "fixed.nrrd").rename(out / "t-001.tfm")
    before = (out / "t-001.tfm").read_bytes()
    words = ["register", "--fixed", out / "t-001.tfm", "--moving", out.parent / "4d.nrrd", "--output-transform"]
    assert main([str(w) for w in (*words, out / "t.tfm")]) == 2
    assert "also an input" in capsys.readouterr().err and (out / "t-001.tfm").read_bytes() == before


def label_map() -> Image:
    image = phantom(OTHER)
    return image.with_tensor((image.tensor > 200).to(torch.int16) * 7 + (image.tensor > 700).to(torch.int16) * 1000)


def test_a_label_map_goes_with_the_moving_image_by_the_nearest_neighbour(out):
    write_image(phantom(OTHER, (3.0, -2.0, 1.0)), out.parent / "moving.nrrd")
    write_image(label_map(), out.parent / "labels.nii.gz")
    asked = ("--labels", out.parent / "labels.nii.gz", "--output-labels", out / "l.nrrd")
    assert run(out, out.parent / "moving.nrrd", *asked) == 0
    written = sitk.ReadImage(str(out / "l.nrrd"))
    expected = resampled(out, sitk.ReadImage(str(out.parent / "labels.nii.gz")), mode=sitk.sitkNearestNeighbor)
    assert written.GetPixelID() == sitk.sitkInt16 and set(np.unique(voxels(written))) == {0, 7, 1007}
    assert (voxels(written) == expected).mean() > 0.999
    assert run(out, out.parent / "moving.nrrd", *asked[:2]) == 2  # one without the other


@pytest.mark.parametrize("asked", [False, True])
def test_a_label_map_as_the_moving_image_keeps_its_labels(asked, out):
    """By its own word (Slicer's .seg.nrrd), or because it is asked for."""
    picture = sitk_image(label_map())
    if not asked:
        picture.SetMetaData("Segment0_ID", "Segment_1")
    sitk.WriteImage(picture, str(out.parent / "x.nrrd"))
    more = ("--interpolation", "nearest") if asked else ()
    asked_for = ("--output-volume", out / "w.nrrd", "--report", out / "r.json")
    assert run(out, out.parent / "x.nrrd", *asked_for, *more) == 0
    assert set(np.unique(voxels(sitk.ReadImage(str(out / "w.nrrd"))))) == {0, 7, 1007}
    assert "nearest neighbour" in json.loads((out / "r.json").read_text())["notes"][0]


def test_a_sheared_volume_is_registered_where_it_lies(out):
    grid = Grid((28, 26, 24), (2, 2, 2), (10, -40, 0), tuple((SHEAR / np.linalg.norm(SHEAR, axis=0)).ravel()))
    moving = phantom(make_grid((60, 60, 60), (2, 2, 2), (-20, -70, -30), np.eye(3)))
    write_image(resample(moving, grid), out.parent / "sheared.nrrd")
    asked = ("--output-volume", out / "w.nrrd", "--start", "centre")
    assert run(out, out.parent / "sheared.nrrd", *asked) == 0
    image, _ = read_image(out.parent / "sheared.nrrd")
    expected = sitk_resample(image, GRID, read_transform(out / "t.h5"))[0]
    assert np.quantile(np.abs(voxels(sitk.ReadImage(str(out / "w.nrrd"))) - expected), 0.99) < 2.0
    assert run(out, out.parent / "fixed.nrrd", fixed=out.parent / "sheared.nrrd") == 0


def test_a_sheared_fixed_image_is_not_written_as_nifti(out, capsys):
    grid = Grid((28, 26, 24), (2, 2, 2), (10, -40, 0), tuple((SHEAR / np.linalg.norm(SHEAR, axis=0)).ravel()))
    write_image(phantom(grid), out.parent / "sheared.nrrd")
    status = run(out, out.parent / "fixed.nrrd", "--output-volume", out / "w.nii.gz", fixed=out.parent / "sheared.nrrd")
    assert status == 2 and "sheared" in capsys.readouterr().err and list(out.iterdir()) == []
