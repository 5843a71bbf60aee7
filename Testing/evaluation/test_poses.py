"""The poses experiment: poses as drawn, images posed both ways, errors, rows that last, and peers that stay."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import pytest
import torch
import yaml
from fakes import phantom
from lattices import LATTICES_3D, make_grid, rotation

from DeepMultiModalRegLib.core import Affine, DenseField, Grid, Image, InputError, RegistrationError, sample
from DeepMultiModalRegLib.engine.body import lattice_points
from DeepMultiModalRegLib.evaluation import command
from DeepMultiModalRegLib.evaluation.peers import MissingPeerError
from DeepMultiModalRegLib.evaluation.pose_draw import (
    PoseRanges,
    drawn_pose,
    posed_by_header,
    posed_by_resampling,
)
from DeepMultiModalRegLib.evaluation.pose_pair import errors
from DeepMultiModalRegLib.evaluation.pose_peer import PosePeer, affine_of
from DeepMultiModalRegLib.evaluation.pose_rows import RowFile, markdown, summary, wilson
from DeepMultiModalRegLib.io import write_image

CENTRE = torch.tensor([12.0, -30.0, 41.0], dtype=torch.float64)
FAR = PoseRanges(180, 60, 0.2)
VOLUME = make_grid((30, 28, 26), (2, 2.2, 2.1), (-30, 20, 10), rotation(15, -14, 28))


def at(image: Image, points: torch.Tensor) -> torch.Tensor:
    inverse = image.grid.inverse_matrix
    index = points @ inverse[:-1, :-1].T + inverse[:-1, -1]
    d = index.shape[-1]
    return sample(image.tensor, index.float().reshape(1, -1, *([1] * (d - 2)), d), "linear", 0.0).flatten()


@pytest.mark.parametrize("each_axis", [False, True])
def test_poses_are_seeded_one_by_one_and_stay_within_their_ranges(each_axis):
    ranges = PoseRanges(40, 30, 0.1, each_axis)
    poses = [drawn_pose(ranges, CENTRE, 3, number) for number in range(60)]
    again = drawn_pose(ranges, CENTRE, 3, 41)
    assert torch.equal(again.truth.matrix, poses[41].truth.matrix)
    assert not torch.equal(drawn_pose(ranges, CENTRE, 4, 41).truth.matrix, poses[41].truth.matrix)
    for pose in poses:
        scales = torch.linalg.svdvals(pose.truth.linear)
        assert 0.9 <= float(scales.min()) and float(scales.max()) <= 1.1
        assert (float(scales.max() - scales.min()) > 1e-3) == each_axis
        assert torch.linalg.det(pose.truth.linear) > 0
        shift = pose.truth.points(CENTRE) - CENTRE
        assert shift.abs().max() <= 30 and float(shift.norm()) == pytest.approx(pose.shift_mm)
        assert pose.rotation_deg <= 40
        turned = errors(pose.truth, Affine.from_parts(torch.eye(3), shift), CENTRE[None])
        assert each_axis or turned["angle_deg"] == pytest.approx(pose.rotation_deg, abs=1e-4)
    assert max(pose.rotation_deg for pose in poses) > 35 and max(pose.shift_mm for pose in poses) > 35
    axes = torch.stack([pose.truth.linear - pose.truth.linear.T for pose in poses])[:, [2, 0, 1], [1, 2, 0]]
    assert (axes.sign().mean(0).abs() < 0.5).all()  # about every axis, either way


def test_wrong_ranges_are_refused():
    for wrong in ((190, 1, 0.1), (10, -1, 0.1), (10, 1, 1.0)):
        with pytest.raises(InputError, match="A pose needs"):
            PoseRanges(*wrong)


@pytest.mark.parametrize("grid", [VOLUME, make_grid((40, 36), (1.1, 0.9), (3, 14), rotation(-68))], ids=["3D", "2D"])
def test_both_ways_of_posing_put_every_point_where_the_truth_says(grid):
    """A grey level that rises along a line is read exactly between voxels: so are positions."""
    slope = torch.tensor([3.0, -5.0, 4.0][: grid.dimension], dtype=torch.float64)
    ramp = Image((grid.points(torch.float64) @ slope)[None].float(), grid)
    inner = torch.ones(grid.shape, dtype=torch.bool)
    for axis, size in enumerate(grid.shape):
        line = (torch.arange(size) - (size - 1) / 2).abs() < size / 2 - 5
        inner &= line.reshape(-1, *([1] * (len(grid.shape) - 1 - axis)))
    head = lattice_points(grid, inner)
    for number in range(4):
        pose = drawn_pose(FAR, grid.centre, 1, number).truth
        for posed in (posed_by_resampling(ramp, head, pose, 0.0, 0.0), posed_by_header(ramp, pose)):
            assert torch.allclose(at(posed, pose.points(head)).double(), head @ slope, atol=0.02)
        assert torch.equal(posed.tensor, ramp.tensor)  # by its header: the voxels as they were


def test_a_resampled_pose_does_not_crop_the_head_and_its_lattice_keeps_its_axes():
    image = phantom(VOLUME)
    head = lattice_points(VOLUME, image.tensor[0] > 50)
    for number in range(6):
        pose = drawn_pose(FAR, VOLUME.centre, 2, number).truth
        posed = posed_by_resampling(image, head, pose, 2.0, 0.0)
        volume = posed.grid.matrix[:-1, :-1].det() / VOLUME.matrix[:-1, :-1].det() / pose.linear.det()
        assert float(posed.tensor.sum() * volume / image.tensor.sum()) == pytest.approx(1, abs=0.02)
        assert posed.grid.direction == VOLUME.direction and min(posed.grid.spacing) >= 2


def test_a_header_that_would_shear_is_refused():
    pose = drawn_pose(PoseRanges(30, 10, 0.2, each_axis=True), VOLUME.centre, 0, 0).truth
    with pytest.raises(InputError, match="shears"):
        posed_by_header(phantom(VOLUME), pose)


def test_errors_are_those_of_closed_forms():
    head = CENTRE + torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    truth = drawn_pose(FAR, CENTRE, 0, 7).truth
    exact = errors(truth, truth, head)
    assert exact["error_mm"] < 1e-9 and exact["angle_deg"] < 1e-3
    shifted = Affine.from_parts(truth.linear, truth.translation + torch.tensor([3.0, -4.0, 12.0]))
    assert errors(shifted, truth, head)["error_mm"] == pytest.approx(13)
    about = CENTRE
    for degrees in (30.0, 90.0, 180.0):
        turn = torch.from_numpy(rotation(0, degrees, 0))
        turned = truth @ Affine.from_parts(turn, about - turn @ about)
        assert errors(turned, truth, head)["angle_deg"] == pytest.approx(degrees, abs=1e-3)
        assert errors(turned, truth, head)["determinant"] > 0
    mirror = torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    mirrored = errors(truth @ Affine.from_parts(mirror, about - mirror @ about), truth, head)
    assert mirrored["determinant"] < 0
    distance = float((2 * (head - about)[:, 0] * torch.linalg.det(truth.linear) ** (1 / 3)).abs().mean())
    assert mirrored["error_mm"] == pytest.approx(distance)


def test_shares_have_wilson_s_interval():
    for hits, trials, low, high in ((95, 100, 0.8882, 0.9785), (0, 10, 0.0, 0.2775), (200, 200, 0.9812, 1.0)):
        assert wilson(hits, trials) == pytest.approx((low, high), abs=1e-4)


def row(pose: int, tool: str, **more) -> dict:
    base = {"pose": pose, "pair": "p", "tool": tool, "angle_deg": 1.0, "determinant": 1.0, "seconds": 2.0}
    return base | {"error_mm": 1.0} | more


def test_rows_outlive_a_crash_and_count_what_failed_as_not_recovered(tmp_path):
    file = RowFile(tmp_path / "poses.csv")
    file.begin()
    file.add(row(0, "a, the first"))
    file.add({"pose": 1, "pair": "p", "tool": "a, the first", "error": "it broke"})
    file.add(row(2, "a, the first", error_mm=3.0, angle_deg=170.0, determinant=-1.0, seconds=4.0))
    with file.path.open("a") as cut:
        cut.write("3,p,somew")
    other = RowFile(file.path)
    other.begin()
    other.add(row(4, "b", error_mm=7.0))
    rows = other.rows()
    assert [(r["pose"], r["tool"][0]) for r in rows] == [(0, "a"), (1, "a"), (2, "a"), (4, "b")]
    first, second = summary(rows, (2.0, 5.0))
    assert (first["poses"], first["failed"], first["within_2"][0], first["within_5"][0]) == (3, 1, 1, 2)
    assert first["within_2"][1:] == wilson(1, 3)
    assert (first["over_45"], first["over_135"], first["mirrored"]) == (1, 1, 1)
    assert first["cpu_seconds_median"] is None and second["within_5"][0] == 0
    text = markdown([first, second], (2.0, 5.0))
    assert "3 (1 failed)" in text and "1 = 33.3 % (6.1–79.2)" in text


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    """A list of one pair of two contrasts, and its files."""
    grid = Grid.regular((36, 34, 32), 3.0, torch.tensor([8.0, -20.0, 5.0]))
    moving = phantom(grid)
    fixed = moving.with_tensor((moving.tensor * (1400 - moving.tensor)).clamp(min=0) / 490)
    write_image(fixed, tmp_path / "fixed.nii")
    write_image(moving, tmp_path / "moving.nii")
    pair = {"name": "lump", "modalities": ["T2", "T1"], "fixed": "fixed.nii", "moving": "moving.nii"}
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump({"cases": [pair]}))
    return tmp_path


def evaluate(folder: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser.add_subparsers())
    common = ["--cases", str(folder / "pairs.yaml"), "--data", str(folder), "--out", str(folder / "out")]
    common += ["--experiment", "poses", "--threads", "1"]
    return command.run(parser.parse_args(["evaluate", *common, *words]))


def test_the_experiment_recovers_poses_and_goes_on_where_it_stopped(phantoms):
    words = ["--poses", "2", "--models", "affine", "--rotation", "20", "--shift", "20", "--spacing", "3"]
    assert evaluate(phantoms, *words) == 0
    file = RowFile(phantoms / "out" / "poses.csv")
    rows = file.rows()
    assert [r["tool"] for r in rows] == 2 * ["identity", "affine", "start moments alone"]
    assert [(r["fixed"], r["moving"]) for r in rows[::3]] == [("T2", "T1"), ("T1", "T2")]  # roles change
    for identity, affine, moments in (rows[:3], rows[3:]):
        assert identity["error_mm"] == identity["before_mm"] > moments["error_mm"] > affine["error_mm"]
        assert affine["error_mm"] < 3  # smooth balls without detail: within a voxel
        found = torch.tensor([float(v) for v in affine["found"].split()]).reshape(3, 4)
        assert float(torch.linalg.det(found[:, :3])) == pytest.approx(affine["determinant"], abs=1e-4)
    assert "100.0 %" in (phantoms / "out" / "poses.md").read_text()
    with pytest.raises(InputError, match="--resume"):
        evaluate(phantoms, *words)
    with pytest.raises(InputError, match="drawn otherwise"):
        evaluate(phantoms, *words, "--resume", "--seed", "5")
    lines = file.path.read_text().splitlines(keepends=True)
    file.path.write_text("".join(lines[:-2]))  # the last pose's affine and its start are lost
    assert evaluate(phantoms, *words, "--resume") == 0
    again = file.rows()
    assert [r["found"] for r in again] == [r["found"] for r in rows]
    assert [r["seconds"] for r in again[:4]] == [r["seconds"] for r in rows[:4]]  # those were not run again


def test_what_the_experiment_cannot_do_is_said(phantoms):
    with pytest.raises(InputError, match="no pair nobody"):
        evaluate(phantoms, "--pairs", "nobody")
    with pytest.raises(InputError, match="does not end in a pose"):
        evaluate(phantoms, "--models", "hierarchical-t1t2-brain-3d")
    with pytest.raises(InputError, match="not one of"):
        evaluate(phantoms, "--models", "none", "--peers", "convexadam")


FAKE = """
import json, os, sys
print(json.dumps({"version": "fake 1.0"}), flush=True)
for number, line in enumerate(sys.stdin):
    job = json.loads(line)
    assert os.path.isfile(job["fixed"]) and os.path.isfile(job["moving"])
    os.makedirs(job["out"])
    if number == 1:
        print(json.dumps({"error": "lost"}), flush=True)
        continue
    if number == 2:
        sys.exit("the third is too much")
    with open(os.path.join(job["out"], "affine.json"), "w") as out:
        json.dump([[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]], out)
    print(json.dumps({"seconds": 3.0, "cpu_seconds": 2.0}), flush=True)
"""


def use(folder: Path, monkeypatch, body: str) -> None:
    script = folder / "python"
    script.write_text(f"#!{sys.executable}\n{body}")
    script.chmod(0o755)
    monkeypatch.setenv("DEEPMULTIMODALREG_PEERS_PYTHON", str(script))


def test_one_process_serves_many_pairs_and_a_new_one_follows_a_crash(tmp_path, monkeypatch):
    use(tmp_path, monkeypatch, FAKE)
    peer = PosePeer("ants-affine", 0, 1)
    image = phantom(LATTICES_3D["identity"])
    for _ in range(2):
        found = peer(image, image)["ants-affine"]
        assert found.transform.translation.tolist() == [5, 6, 7] and found.version == "fake 1.0"
        assert (found.seconds, found.cpu_seconds) == (3.0, 2.0)
        with pytest.raises(RegistrationError, match="lost"):
            peer(image, image)
        with pytest.raises(RegistrationError, match="the third is too much"):
            peer(image, image)
    peer.close()


def test_a_peer_that_is_missing_or_no_affine_says_so(tmp_path, monkeypatch):
    use(tmp_path, monkeypatch, "raise ModuleNotFoundError('no ants')")
    with pytest.raises(MissingPeerError, match="pip install antspyx"):
        PosePeer("ants-affine", 0, 1)(phantom(VOLUME), phantom(VOLUME))


def test_a_field_is_taken_for_an_affine_only_where_it_is_one():
    truth = drawn_pose(FAR, VOLUME.centre, 0, 3).truth
    field = DenseField(Image(truth.displacement(VOLUME), VOLUME))
    assert torch.allclose(affine_of(field, VOLUME).matrix, truth.matrix, atol=1e-3)
    bent = field.field.tensor.clone()
    bent[0, 0, 0, 0] += 1.0
    with pytest.raises(RegistrationError, match="not affine"):
        affine_of(DenseField(Image(bent, VOLUME)), VOLUME)


@pytest.mark.parametrize(
    ("name", "package"), [("ants-affine", "ants"), ("elastix-rigid", "itk.elxParameterObjectPython")]
)
def test_a_real_peer_answers_pair_after_pair(name, package):
    pytest.importorskip(package)
    grid = Grid.regular((40, 38, 36), 2.5)
    peer = PosePeer(name, 0, 1)
    for shift in ((6.0, -4.0, 3.0), (-5.0, 0.0, 7.0)):
        found = peer(phantom(grid), phantom(grid, shift))[name]
        error = errors(found.transform, Affine.from_parts(torch.eye(3), torch.tensor(shift)), CENTRE[None] * 0)
        assert error["error_mm"] < 1.0 and 0 < found.cpu_seconds and math.isfinite(found.seconds)
    peer.close()
