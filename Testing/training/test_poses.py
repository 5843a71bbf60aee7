"""Training of the network that finds poses: the truth it learns from is true, and a stopped run goes on as it was."""

from __future__ import annotations

import math

import pytest
import SimpleITK as sitk
import torch
from lattices import rotation

from DeepMultiModalRegLib.core import Grid, InputError
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.equivariant_volume import block_points
from DeepMultiModalRegLib.training.pose_contrast import KINDS, grey_levels, stripped
from DeepMultiModalRegLib.training.pose_geometry import random_rotation
from DeepMultiModalRegLib.training.pose_objective import PoseObjective, corner_distance
from DeepMultiModalRegLib.training.pose_sampler import PoseRanges, PoseSampler
from DeepMultiModalRegLib.training.pose_subjects import PoseSubject, load_pose_subjects
from DeepMultiModalRegLib.training.pose_train import make_pose_trainer
from DeepMultiModalRegLib.training.pose_validation import rotation_degrees, summary
from DeepMultiModalRegLib.training.template_frame import (
    MIDDLE,
    PAIRS,
    centroids,
    freesurfer,
    mni_centroids,
    moved,
    template_centroids,
    to_template,
)
from DeepMultiModalRegLib.training.train import read_config

SETTINGS = {"size": 32, "widths": [4, 6, 8, 10], "depth": 1}
WEIGHTS = {"places": 1.0, "sureness": 0.1, "brain": 0.3, "pose": 0.2, "equivariance": 0.1}
STILL = PoseRanges(far=0.0, jitter=0.0, scale=0.0, shear=0.0, warp=0.0)


def centres() -> dict[int, torch.Tensor]:
    """A place (LPS mm) for each label, left and right mirrored: the template of a made-up head."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for left, right in PAIRS.items():
        x, y, z = (
            torch.rand(3, generator=generator) * torch.tensor([40.0, 90.0, 70.0]) + torch.tensor([12.0, -45, -35])
        ).tolist()
        found[left], found[right] = torch.tensor([x, y, z]), torch.tensor([-x, y, z])
    for number, y in zip(MIDDLE, (-20.0, 25.0, 40.0), strict=True):
        found[number] = torch.tensor([0.0, y, -30.0])
    return found


def head(way: torch.Tensor, spacing: float = 4.0) -> tuple[Grid, torch.Tensor]:
    """A head whose structures lie where the template's lie through the inverse of `way` (4, 4): its lattice and label
    numbers, each voxel the label of the nearest structure, with a scalp around."""
    grid = Grid.regular((56, 60, 56), spacing)
    there = moved(way, grid.points(torch.float32))
    distance = torch.stack([(there - place).norm(dim=-1) for place in centres().values()])
    labels = torch.tensor(list(centres()))[distance.argmin(0)]
    radius = (there / torch.tensor([70.0, 85.0, 65.0])).norm(dim=-1)
    labels = torch.where(radius < 1, labels, torch.where(radius < 1.2, 511, 0))
    return grid, labels


def way(seed: int = 0) -> torch.Tensor:
    matrix = torch.eye(4)
    turn = torch.tensor(rotation(8, -6, 10), dtype=torch.float32)
    matrix[:3, :3] = turn @ torch.diag(torch.tensor([1.05, 0.95, 1.02]) + 0.01 * seed)
    matrix[:3, 3] = torch.tensor([4.0, -9.0, 6.0])
    return matrix


def subject(name: str = "labelmaps/one") -> PoseSubject:
    grid, labels = head(way())
    values, compact = labels.unique(return_inverse=True)
    small = compact.to(torch.uint8)[None, None]
    return PoseSubject(name, grid, small, values.tolist(), {}, way().double(), False, True)


def method():
    torch.manual_seed(0)
    return build("equivariant_volume", 3, SETTINGS)


def sampler(subjects: list[PoseSubject] | None = None) -> PoseSampler:
    return PoseSampler(subjects or [subject()], {"labelmaps": 1.0}, method())


def test_the_template_is_symmetric_and_the_subjects_own_mean_size():
    ways = [torch.diag(torch.tensor([s, s, s, 1.0])).double() for s in (0.8, 1.0, 1.25)]
    truth = {n: p.double() for n, p in centres().items()}
    subjects = [{n: moved(torch.linalg.inv(w), p) + 30 for n, p in truth.items()} for w in ways]
    template = template_centroids(subjects)
    for left, right in PAIRS.items():
        torch.testing.assert_close(template[left] * torch.tensor([-1.0, 1, 1]), template[right])
    size = torch.stack(list(template.values())).std() / torch.stack([truth[n] for n in template]).std()
    assert size.item() == pytest.approx(1.0, abs=0.03)
    found = [to_template(s, template) for s in subjects]
    assert [round(float(torch.linalg.det(m[:3, :3]) ** (1 / 3) / found[1][0, 0]), 2) for m in found] == [0.8, 1.0, 1.25]


def test_a_label_map_s_centroids_find_its_way_into_the_template():
    grid, labels = head(way(), 3.0)
    found = centroids(labels, grid.points(torch.float32))
    upright = centroids(head(torch.eye(4), 3.0)[1], grid.points(torch.float32))
    assert (to_template(found, upright) - way()).abs().max() < 1.0


def test_sides_are_told_apart_where_labels_count_both_as_one():
    points = Grid.regular((10, 4, 4), 2.0).points(torch.float32)
    sides = freesurfer(torch.full((4, 4, 10), 7), points)  # thalamus
    assert (sides[points[..., 0] > 1] == 10).all() and (sides[points[..., 0] < -1] == 49).all()
    assert mni_centroids()[10][0] > 0 > mni_centroids()[49][0]  # left is positive


@pytest.mark.parametrize("kind", KINDS)
def test_every_contrast_gives_each_label_a_grey_level_and_the_air_none(kind):
    values = [0, 2, 3, 4, 41, 511, 515]
    generator = torch.Generator().manual_seed(0)
    first, second = (grey_levels(values, kind, False, generator) for _ in range(2))
    assert first[0] == 0 and (first[1:] > 0).all() and not torch.equal(first, second)
    if kind == "ct":
        assert first[6] > 1.5 * first[1:6].max(), "bone is what a CT shows"
    if kind == "t1":
        assert first[1] > first[2] > first[3]
    assert stripped(values, torch.Generator().manual_seed(1))[1] == 1


def test_random_turns_keep_to_their_angles_and_are_no_mirrors():
    generator = torch.Generator().manual_seed(0)
    near = torch.stack([random_rotation(0, 75, generator) for _ in range(200)])
    far = torch.stack([random_rotation(75, 180, generator) for _ in range(200)])
    eye = torch.eye(4).expand(200, 4, 4)
    angles = []
    for turns in (near, far):
        assert torch.allclose(torch.linalg.det(turns), torch.ones(200).double())
        whole = eye.clone()
        whole[:, :3, :3] = turns.float()
        angles.append(rotation_degrees(whole, eye))
    assert angles[0].max() < 75.5 and angles[0].max() > 60 and angles[1].min() > 74.5 and angles[1].max() > 170


def test_the_truth_of_a_drawn_image_is_where_its_voxels_lie_in_the_template():
    drawn = sampler().draw(2, 2, STILL, torch.Generator().manual_seed(3))
    points = block_points((32, 32, 32), drawn.places)
    for number in range(4):
        straight = points @ drawn.matrix[number, :3, :3].T + drawn.matrix[number, :3, 3]
        torch.testing.assert_close(drawn.places[number], straight, atol=0.2, rtol=1e-3)
        # the brain of the made-up head is an ellipsoid about the template's origin
        radius = (drawn.places[number] / torch.tensor([70.0, 85.0, 65.0])).norm(dim=1)
        brain = drawn.brain[number]
        assert (radius[brain] < 1.1).all() and not (drawn.brain[number] & ~drawn.shown[number]).any()
    assert torch.equal(drawn.known, torch.ones(4))
    # two poses of one head agree on where the subject's voxels lie
    home = drawn.matrix @ torch.linalg.inv(drawn.lattice)
    torch.testing.assert_close(home[0], home[1], atol=0.02, rtol=1e-3)
    torch.testing.assert_close(home[0], way(), atol=0.02, rtol=1e-3)


def test_drawn_images_are_what_the_engine_shows_the_network():
    drawn = sampler().draw(4, 2, PoseRanges(), torch.Generator().manual_seed(4))
    assert drawn.images.shape == (8, 1, 32, 32, 32)
    assert drawn.images.min() >= 0 and drawn.images.max() <= 1 and torch.isfinite(drawn.images).all()
    assert 0 < drawn.known.sum() < 8, "some poses are too far to be learned"
    assert (drawn.shown.sum(1) > 30).all()


def test_the_right_answer_has_no_loss_and_a_turned_one_has():
    drawn = sampler().draw(2, 2, STILL, torch.Generator().manual_seed(5))
    network = method()
    truth = (drawn.places, torch.full(drawn.brain.shape, -3.0), (drawn.brain.float() - 0.5) * 20)
    network.places = lambda images: truth
    objective = PoseObjective(network, WEIGHTS, 2)
    right = objective.terms(drawn)
    assert max(right[name].item() for name in ("places", "pose", "equivariance", "brain")) < 0.02
    turned = drawn.places @ torch.tensor(rotation(0, 0, 30), dtype=torch.float32).T
    network.places = lambda images: (turned, *truth[1:])
    wrong = objective.terms(drawn)
    assert wrong["places"] > 0.1 and wrong["pose"] > 0.1 and objective.loss(wrong) > objective.loss(right) + 0.1
    assert wrong["equivariance"] < 0.02, "a template turned for all poses alike breaks no equivariance"


def test_the_distance_of_two_poses_is_that_of_the_brain_s_corners():
    one, other = torch.eye(4)[None], torch.eye(4)[None].clone()
    other[0, 0, 3] = 7.0
    assert corner_distance(one, other).item() == pytest.approx(7.0, abs=1e-4)
    turn = torch.eye(4)[None].clone()
    turn[0, :3, :3] = torch.tensor(rotation(0, 0, 60), dtype=torch.float32)
    assert corner_distance(one, turn).item() == pytest.approx(2 * 100 * math.sin(math.radians(30)), abs=0.1)


def test_a_summary_counts_gross_failures_by_kind():
    errors = {
        "degrees": torch.tensor([1.0, 2.0, 100.0, 3.0]), "mm": torch.ones(4), "doubt": torch.tensor([1.0, 1, 9, 1]),
        "kinds": ["adult/whole/t1", "adult/stripped/t1", "newborn/stripped/t2", "adult/whole/t2"],
    }  # fmt: skip
    rows = summary(errors)
    assert rows["all"]["gross_percent"] == 25 and rows["newborn"]["gross_percent"] == 100
    assert rows["adult"]["gross_percent"] == 0 == rows["surest 80 %"]["gross_percent"]


@pytest.fixture()
def settings(tmp_path) -> dict:
    """A configuration of two label maps on disk, one of them held out."""
    for number in range(2):
        grid, labels = head(way(number))
        image = sitk.GetImageFromArray(labels.to(torch.int16).numpy())
        image.SetSpacing(grid.spacing)
        image.SetOrigin(grid.origin)
        sitk.WriteImage(image, str(tmp_path / f"map_{number}.nii.gz"))
    config = read_config("equivariant-any-brain-3d")
    source = {
        "group": "labelmaps",
        "files": "map_*.nii.gz",
        "kind": "freesurfer",
        "spacing": 4.0,
        "whole": True,
        "held_out": ["map_1"],
    }
    training = {**config["training"], "heads": 2, "steps": 4, "validate_every": 4, "log_every": 2, "validate": 8}
    return {**config, "settings": SETTINGS, "sources": [source], "shares": {"labelmaps": 1}, "training": training}


def test_subjects_come_from_disk_with_their_way_into_the_template(settings, tmp_path):
    (kept,), (held,) = (load_pose_subjects(settings["sources"], part, tmp_path) for part in (False, True))
    assert (kept.name, held.name) == ("labelmaps/map_0", "labelmaps/map_1")
    ratio = held.to_template[:3, :3] @ torch.linalg.inv(kept.to_template[:3, :3])
    expected = (way(1) @ torch.linalg.inv(way(0)))[:3, :3].double()
    assert (ratio - expected).abs().max() < 0.02
    with pytest.raises(InputError, match="No training subject was found"):
        load_pose_subjects([{**settings["sources"][0], "files": "nothing*"}], False, tmp_path)


def test_a_stopped_training_goes_on_where_it_was(settings, tmp_path):
    whole = make_pose_trainer(settings, tmp_path, tmp_path / "whole")
    assert whole.run()
    assert (tmp_path / "whole" / "log.jsonl").read_text().count("validation") == 1
    halves = make_pose_trainer(settings, tmp_path, tmp_path / "halves")
    assert not halves.run(seconds=0)
    assert halves.step == 1
    again = make_pose_trainer(settings, tmp_path, tmp_path / "halves")
    again.resume()
    assert again.run() and again.step == 4
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(value, again.averaged.state_dict()[name]), name
