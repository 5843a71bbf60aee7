"""Cases: what is read, what is warped here, and that the truth is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml
from fakes import phantom
from lattices import rotation

from DeepMultiModalRegLib.core import Affine, DenseField, Grid, Image, InputError, invert, resample
from DeepMultiModalRegLib.evaluation.cases import (
    FOLDER,
    STACK_MM,
    data_folder,
    inverse_of,
    load_case,
    read_cases,
    stacked,
)
from DeepMultiModalRegLib.evaluation.dice import dice, mean
from DeepMultiModalRegLib.evaluation.displacement import summary, transform_errors
from DeepMultiModalRegLib.evaluation.warps import WarpRanges, known_warp
from DeepMultiModalRegLib.io import read_image, write_image

GRID = Grid.regular((40, 36, 32), (2.0, 2.0, 2.5))
SEEDED = {"seed": 1, "shift_mm": 4.0, "rotation_deg": 8.0, "scale": 0.05, "peak_mm": 4.0, "smooth_mm": 14.0}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    image = phantom(GRID)
    write_image(image, tmp_path / "a.nrrd")
    write_image(Image((image.tensor.max() - image.tensor), GRID), tmp_path / "b.nrrd")
    write_image(Image((image.tensor / 300).round().to(torch.int16), GRID), tmp_path / "labels.nrrd")
    return tmp_path


def described(**entries) -> dict:
    return {"name": "one", "fixed": "a.nrrd", "moving": "b.nrrd", "labels": {"all": "labels.nrrd"}, **entries}


@pytest.mark.parametrize("of", ["fixed", "moving"])
def test_the_truth_of_a_warp_made_here_undoes_it(data, of):
    case = load_case(described(warp={"of": of, **SEEDED}, mask={"head": "a.nrrd"}), data)
    inside = case.mask
    before = resample(case.moving, GRID).tensor[0]
    after = resample(case.moving, GRID, case.truth).tensor[0]
    wanted = 1000.0 - case.fixed.tensor[0]  # b is the negative of a
    assert (after - wanted).abs()[inside].mean() < 0.15 * (before - wanted).abs()[inside].mean()
    fixed, moving = case.labels["all"]
    overlap = [mean(dice(fixed.tensor, resample(moving, GRID, t, "nearest").tensor)) for t in (None, case.truth)]
    assert overlap[1] > 0.93 > overlap[0] + 0.1


def test_the_truth_of_a_warped_moving_image_is_the_inverse_of_that_of_a_warped_fixed_one(data):
    there = load_case(described(warp={"of": "fixed", **SEEDED}), data).truth
    back = load_case(described(warp={"of": "moving", **SEEDED}), data).truth
    x = GRID.points()[8:-8, 8:-8, 8:-8]
    assert (back.points(there.points(x)) - x).norm(dim=-1).max() < 0.6  # linear between the inverse's voxels
    assert (there.points(x) - x).norm(dim=-1).mean() > 3.0


def test_a_field_along_one_direction_is_that_displacement(data):
    write_image(Image(torch.full((1, *GRID.shape), 3.0), GRID), data / "dy.nrrd")
    case = load_case(described(warp={"of": "fixed", "applied": True, "field": "dy.nrrd", "along": [0, -1, 0]}), data)
    inner = torch.zeros(GRID.shape, dtype=torch.bool)
    inner[2:-2, 2:-2, 2:-2] = True
    u = case.truth.displacement(GRID)[:, inner]
    assert torch.allclose(u.mean(1), torch.tensor([0.0, -3.0, 0.0]), atol=1e-5)
    assert torch.equal(case.fixed.tensor, read_image(data / "a.nrrd")[0].tensor)  # applied: not warped again


@pytest.mark.parametrize("of", ["fixed", "moving"])
def test_what_was_found_of_a_pair_before_its_warp_joins_the_truth(data, of):
    own = torch.eye(4, dtype=torch.float64)
    own[:3, :3] *= 0.95
    own[:3, 3] = torch.tensor([2.0, -1.0, 3.0], dtype=torch.float64)
    case = load_case(described(warp={"of": of, **SEEDED}, own=own.tolist()), data)
    assert load_case(described(warp={"of": of, **SEEDED}), data).found is None
    x = GRID.points(torch.float64)[6:-6, 6:-6, 6:-6]
    expected = case.truth.points(Affine(own).points(x)) if of == "moving" else Affine(own).points(case.truth.points(x))
    assert torch.allclose(case.found.points(x), expected, atol=1e-3)
    with pytest.raises(InputError, match="needs a warp"):
        load_case(described(own=own.tolist()), data)


def test_a_case_that_asks_for_it_keeps_the_moving_image_as_it_was_before_its_warp(data):
    warp = {"of": "moving", **SEEDED}
    case = load_case(described(warp=warp, recover=True), data)
    assert torch.equal(case.before.tensor, read_image(data / "b.nrrd")[0].tensor)
    assert not torch.equal(case.before.tensor, case.moving.tensor)
    assert load_case(described(warp=warp), data).before is None
    for other in ({"of": "fixed", **SEEDED}, {**warp, "applied": True}):
        with pytest.raises(InputError, match="of: moving"):
            load_case(described(warp=other, recover=True), data)
    with pytest.raises(InputError, match="of: moving"):
        load_case(described(recover=True), data)


def test_landmarks_and_a_mask_file_are_read(data):
    (data / "f.csv").write_text("0,0,0\n1,2,3\n")
    (data / "m.csv").write_text("1,0,0\n1,2,7\n")
    case = load_case(described(landmarks={"fixed": "f.csv", "moving": "m.csv"}, mask="labels.nrrd"), data)
    assert (case.landmarks[0] - case.landmarks[1]).norm(dim=1).tolist() == [1.0, 4.0]
    assert 0 < case.mask.float().mean() < 0.5


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("cases: [{fixed: a, moving: b}]", "name"),
        ("- nothing", "does not list cases"),
        ("cases: [{name: x, fixed: a}]", "no moving"),
        ("cases: [{name: x, fixed: a, moving: b, waarp: c}]", "waarp"),
        ("cases: [{name: x, fixed: a, moving: b}, {name: x, fixed: a, moving: b}]", "alike"),
    ],
)
def test_a_wrong_list_of_cases_is_a_sentence(tmp_path, content, word):
    path = tmp_path / "cases.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=word):
        read_cases(path)


def test_a_list_may_take_cases_of_shipped_ones_and_name_their_peers(tmp_path):
    path = tmp_path / "mine.yaml"
    own = "cases: [{name: own, fixed: a, moving: b}]"
    path.write_text(f"include: [{{list: known_warps, cases: [ms12-t1-onto-t2], peers: [ants-syn]}}]\n{own}")
    taken, mine = read_cases(path)
    there = next(case for case in read_cases("known_warps") if case["name"] == "ms12-t1-onto-t2")
    assert taken == {**there, "peers": ["ants-syn"]} and mine["name"] == "own"
    path.write_text("include: [{list: known_warps, cases: [nobody]}]")
    with pytest.raises(InputError, match="no case nobody; it has brainweb-t1-onto-t2-near"):
        read_cases(path)
    both = [case["name"] for case in read_cases("acceptance,known_warps")]
    assert both == [case["name"] for name in ("acceptance", "known_warps") for case in read_cases(name)]


def test_images_labels_and_mask_are_read_on_a_coarser_lattice_where_a_spacing_is_asked_for(data):
    case = load_case(described(spacing=4.0, warp={"of": "moving", **SEEDED}, mask={"head": "a.nrrd"}), data)
    for image in (case.fixed, case.moving, *case.labels["all"]):
        assert image.grid.size == (20, 18, 20) and image.grid.spacing == (4.0, 4.0, 4.0)
    assert torch.allclose(case.fixed.grid.centre, GRID.centre) and case.mask.shape == case.fixed.grid.shape
    moving, fixed = case.labels["all"][::-1]
    overlap = [
        mean(dice(fixed.tensor, resample(moving, fixed.grid, t, "nearest").tensor)) for t in (None, case.truth)
    ]
    assert overlap[1] > 0.85 > overlap[0] + 0.1


def test_a_posed_moving_image_lies_where_its_pose_says(data):
    turn = torch.as_tensor(rotation(10.0, -5.0, 20.0))
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turn, torch.tensor([4.0, -6.0, 3.0], dtype=torch.float64)
    case = load_case(described(pose=pose.tolist(), labels={}), data)
    as_it_was = read_image(data / "b.nrrd")[0]
    expected = resample(as_it_was, GRID, Affine(pose)).tensor
    assert torch.allclose(resample(case.moving, GRID).tensor, expected, atol=0.5)  # of 1000
    assert (resample(as_it_was, GRID).tensor - expected).abs().mean() > 10
    with pytest.raises(InputError, match="not rigid"):
        load_case(described(pose=[[1.1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), data)


def test_the_inverse_of_a_warp_is_true_to_a_few_hundredths_of_a_millimetre():
    warp = known_warp(GRID, WarpRanges(5.0, 8.0, 0.05, 8.0, 20.0), 3)
    truth = inverse_of(warp, GRID)
    x = GRID.points(torch.float64)
    errors = (warp.points(truth.points(x)) - x).norm(dim=-1)
    assert errors.mean() < 0.02 and errors.max() < 0.3 and (warp.points(x) - x).norm(dim=-1).mean() > 3


def test_a_list_nobody_ships_names_those_there_are():
    with pytest.raises(InputError, match="acceptance"):
        read_cases("no-such-list")


@pytest.mark.parametrize("warp", [{"seed": 1}, {"of": "fixed"}, {"of": "fixed", "seed": 1, "bend": 3}])
def test_a_wrong_warp_is_a_sentence(data, warp):
    with pytest.raises(InputError, match="warp needs"):
        load_case(described(warp=warp), data)


def test_a_missing_data_folder_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="--data"):
        data_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_cases_name_files_that_are_there(path, data_dir):
    def files(value):
        if isinstance(value, dict):
            return [name for entry in value.values() for name in files(entry)]
        return [value] if isinstance(value, str) and value.startswith(("test/", "train/")) else []

    for case in read_cases(path.stem):
        assert yaml.safe_load(path.read_text())["name"] == path.stem
        for name in files(case):
            assert any(path.is_file() for path in data_dir.glob(name)), name


def test_the_brainweb_warp_has_the_sign_and_direction_that_the_acceptance_cases_state(data_dir):
    """t1_warped(x) = t1(W(x)), hence for moving = t1_warped and fixed = t1 (or T2) the truth is W's inverse."""
    folder = data_dir / "test" / "brainweb"
    t1, warped, dy = (read_image(folder / f"{n}.nii.gz")[0] for n in ("t1", "t1_warped", "t1_warped_dy_mm"))
    field = torch.zeros(3, *dy.grid.shape)
    field[1] = -dy.tensor[0].float()
    warp = DenseField(Image(field, dy.grid)).closed()
    coarse = t1.grid.respaced((3.0, 3.0, 3.0))
    head = resample(t1, coarse).tensor > 20
    assert (resample(t1, coarse, warp).tensor - resample(warped, coarse).tensor).abs()[head].mean() < 3.0
    inverse, _ = invert(warp, coarse)
    left = (resample(warped, coarse, inverse).tensor - resample(t1, coarse).tensor).abs()[head].mean()
    assert left < 3.0 < 0.1 * (resample(warped, coarse).tensor - resample(t1, coarse).tensor).abs()[head].mean()
    errors = transform_errors(DenseField(Image(torch.zeros_like(field), dy.grid)), inverse, coarse, head[0])
    assert 9.0 < summary(errors)["mean"] < 11.0  # the identity's: what a registration has to undo


def test_slices_in_files_of_their_own_become_a_volume(tmp_path):
    for number, grey in ((3, 30), (1, 10), (2, 20)):
        pixels = np.full((5, 4), grey, np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / f"{number:03d}_mr.png"))
    volume = stacked(tmp_path, "*_mr.png")
    assert volume.grid.size == (4, 5, 3) and volume.grid.spacing == (1.0, 1.0, STACK_MM)
    assert volume.tensor[0, :, 0, 0].tolist() == [10.0, 20.0, 30.0]
    with pytest.raises(InputError, match="No slices of one size"):
        stacked(tmp_path, "*_ct.png")
