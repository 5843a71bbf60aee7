"""Training of the equivariant method on tiny slices: poses, terms, learning, going on after a stop."""

from __future__ import annotations

import math

import pytest
import torch
from slice_training import assert_a_stop_changes_nothing, before_and_after, slice_trainer
from slices import SLICE_SHAPE as SHAPE
from slices import pear
from torch.nn import functional as F

from DeepMultiModalRegLib.core import Grid, Image
from DeepMultiModalRegLib.io import write_image
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.canonical import moments
from DeepMultiModalRegLib.networks.posing import moved
from DeepMultiModalRegLib.training.deformation import middle_points
from DeepMultiModalRegLib.training.equivariant import TERMS, EquivariantObjective, template_poses
from DeepMultiModalRegLib.training.equivariant_dense import TERMS as DENSE_TERMS
from DeepMultiModalRegLib.training.equivariant_looks import random_looks
from DeepMultiModalRegLib.training.equivariant_poses import RANGES, PoseRanges, bent, occluded
from DeepMultiModalRegLib.training.equivariant_run import EquivariantTrainer
from DeepMultiModalRegLib.training.equivariant_slices import Frame, real_slices, spread_of
from DeepMultiModalRegLib.training.train import read_config

SETTINGS = {"shape": SHAPE, "widths": [4, 8, 8]}


def test_the_papers_ranges():
    assert RANGES["D0"] == PoseRanges(10, 180, 0.1, 0.1)
    assert RANGES["D1"] == PoseRanges(54, 180, 0.5, 0.5, inside=True)
    b = RANGES["D1-far"].draw(2000, 54.5, torch.Generator().manual_seed(0))
    assert 53 < b[:, :2, 2].abs().max() * 54.5 <= 54
    angle = torch.atan2(b[:, 1, 0], b[:, 0, 0])  # shear and scale leave the first axis where the turn put it
    assert angle.abs().max() > math.radians(178)
    stretch = b[:, :2, 0].norm(dim=1)
    assert 0.5 <= stretch.min() < 0.51 and 1.49 < stretch.max() <= 1.5


def test_in_wide_ranges_the_frames_middle_moves_no_further_than_the_range():
    """The middle of I lies at B^-1 0 in I o B: within the range, whatever the scale; without `inside` beyond it."""
    furthest = {}
    for name in ("D1", "D1-far"):
        b = RANGES[name].draw(2000, 54.5, torch.Generator().manual_seed(0))
        furthest[name] = torch.linalg.inv(b)[:, :2, 2].abs().max().item() * 54.5
    assert 53 < furthest["D1"] < 54.01 and furthest["D1-far"] > 100


def test_an_image_moved_there_and_back_is_the_image():
    """I o B o B^-1 = I: the order and the units of `moved`, on a lattice that is no square."""
    b = PoseRanges(3, 180, 0.1, 0.1).draw(1, 16.5, torch.Generator().manual_seed(1))
    image = pear()
    there = moved(image, b, 16.5)
    back = moved(there, torch.linalg.inv(b), 16.5)
    assert (there - image).abs().mean() > 0.05
    assert (back - image).abs().mean() < 0.03
    shift = torch.eye(3)[None].clone()
    shift[0, 0, 2] = 4 / 16.5  # reads four pixels further along I
    assert torch.allclose(moved(image, shift, 16.5)[..., :-4], image[..., 4:], atol=1e-5)


def test_occlusions_blot_out_and_nothing_else():
    image = torch.ones(4, 1, 109, 91)
    out = occluded(image, "large", torch.Generator().manual_seed(0))
    share = (out == 0).float().flatten(1).mean(1)
    assert set(out.unique().tolist()) == {0.0, 1.0} and share.min() > 0.01 and share.max() < 0.65
    assert torch.equal(occluded(image, None, torch.Generator()), image) and torch.equal(image, torch.ones_like(image))


def test_mostly_covers_more_images_than_often_and_often_more_than_some():
    images, shares = torch.ones(400, 1, 20, 20), {}
    for kind in ("some", "often", "mostly"):
        out = occluded(images, kind, torch.Generator().manual_seed(0))
        shares[kind] = (out == 0).flatten(1).any(1).float().mean().item()
    assert 0.2 < shares["some"] < 0.4 < shares["often"] < 0.65 < shares["mostly"] < 0.75


def test_a_bend_is_smooth_and_shifts_nothing_on_the_whole():
    """Read off two ramps, which show where each pixel came from."""
    ramp = torch.stack([torch.arange(109.0).expand(109, -1), torch.arange(109.0)[:, None].expand(-1, 109)])
    there = bent(ramp.repeat(50, 1, 1, 1), 2.0, torch.Generator().manual_seed(0))
    u = (there - ramp)[..., 8:-8, 8:-8]
    assert 0.8 < u.std() < 3.0 and u.mean().abs() < 0.1 and u.mean((2, 3)).abs().max() < 1.5
    assert u.diff(dim=-1).abs().max() < 0.6 and u.diff(dim=-2).abs().max() < 0.6  # nothing folds
    assert torch.allclose(bent(ramp[None], 0.0, torch.Generator()), ramp[None], atol=1e-4)


def test_a_method_that_knows_the_pose_pays_nothing():
    method = build("equivariant", 2, SETTINGS)
    ranges = PoseRanges(3, 180, 0.1, 0.1)
    weights = {"equivariance": 1.0, "reference": 1.0, "size": 1.0, "anisotropy": 0.0, "template": 1.0}
    objective = EquivariantObjective(method, weights, pear(), ranges, "grid")
    drawn = []
    draw = PoseRanges.draw

    def recorded(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    def knowing(images):
        assert len(images) == 3 * len(drawn[0])  # I o B, I, I_ref o B
        return torch.cat([torch.linalg.inv(drawn[0]), torch.eye(3).expand_as(drawn[0]), torch.linalg.inv(drawn[1])])

    method.regress = knowing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PoseRanges, "draw", recorded)
        terms = objective.terms(pear().repeat(5, 1, 1, 1), torch.Generator().manual_seed(0))
    assert all(terms[name] < 1e-4 for name in ("equivariance", "reference", "size", "template"))


def test_a_held_answer_carries_no_gradient():
    """R(I) as the target: what the plain image says is not trained; free, it is."""
    for held in (True, False):
        method = build("equivariant", 2, SETTINGS)
        objective = EquivariantObjective(method, {"equivariance": 1.0}, pear(), RANGES["D0"], held=held)
        answers = torch.eye(3).repeat(6, 1, 1).requires_grad_()
        method.regress = lambda images, answers=answers: answers
        objective.terms(pear().repeat(3, 1, 1, 1), torch.Generator().manual_seed(0))["equivariance"].backward()
        assert answers.grad[:3].abs().sum() > 0
        assert bool(answers.grad[3:].abs().sum() > 0) == (not held)


def test_a_stage_ends_with_the_running_average_of_its_weights(tmp_path):
    """A decay of one keeps the weights after the first step, whatever the others do; a stop does not change that."""
    weights = {"equivariance": 1.0, "reference": 1.0}
    first, plain, averaged = (
        trainer(tmp_path / name, steps, weights, **more)
        for name, steps, more in (("a", 1, {}), ("b", 4, {}), ("c", 4, {"average": 1.0}))
    )
    # of the four steps' plan the first has the rate of its own: the same for both
    first.stages[0]["steps"] = 4
    assert not first.run(seconds=0) and plain.run() and not averaged.run(seconds=0)
    again = trainer(tmp_path / "c", 4, weights, average=1.0)
    again.resume()
    assert again.run()
    last = [torch.cat([p.flatten() for p in run.method.parameters()]) for run in (first, plain, again)]
    assert torch.equal(last[0], last[2]) and not torch.equal(last[0], last[1])


def test_ranges_grow_evenly():
    half = RANGES["D0"].towards(RANGES["D1"], 0.5)
    assert (half.translation, half.rotation, round(half.shear, 6)) == (32, 180, 0.3)
    assert RANGES["D0"].towards(RANGES["D1"], 3.0) == RANGES["D1"]


def trainer(out, steps: int, weights: dict, **stage) -> EquivariantTrainer:
    return slice_trainer(out, SETTINGS, weights, steps=steps, **stage)


def test_supervised_training_learns(tmp_path):
    run = trainer(tmp_path, 70, {"template": 1.0, "supervised": 1.0}, batch=8)
    objective = EquivariantObjective(run.method, {"template": 1.0}, pear(), RANGES["D0"])
    before, after = before_and_after(run, objective, "template")
    assert after < 0.75 * before


def test_a_stopped_run_ends_where_a_straight_one_does(tmp_path):
    weights = {"equivariance": 1.0, "reference": 1.0, "size": 1.0, "anisotropy": 1.0, "information": 0.1}
    assert_a_stop_changes_nothing(lambda name: trainer(tmp_path / name, 12, weights))


def test_the_second_step_trains_on_slices_brought_to_the_template(tmp_path, monkeypatch):
    run = trainer(tmp_path, 1, {"template": 1.0, "brought": 1.0}, pose="D1", norm="grid", occlusion="small")
    torch.nn.init.normal_(run.method.regressor.head.weight, 0, 0.02)
    expected, seen = template_poses(run.method, run.found), []
    terms = EquivariantObjective.terms
    monkeypatch.setattr(EquivariantObjective, "terms", lambda s, x, g: seen.append(x) or terms(s, x, g))
    run.run(seconds=0)
    assert torch.equal(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["brought"], expected)
    brought = moved(run.found, expected, run.method.unit)
    assert all(any(torch.equal(x, y) for y in brought) for x in seen[0]) and not torch.equal(brought, run.found)


def test_only_the_supervised_loss_knows_where_slices_lie(tmp_path, monkeypatch):
    """Without it every slice is seen in a small pose of its own, the same throughout."""
    seen = []
    terms = EquivariantObjective.terms
    monkeypatch.setattr(EquivariantObjective, "terms", lambda s, x, g: seen.append(x) or terms(s, x, g))
    run = trainer(tmp_path / "a", 2, {"equivariance": 1.0, "reference": 1.0})
    run.run()
    known = trainer(tmp_path / "b", 2, {"template": 1.0, "supervised": 1.0})
    known.run()
    found, placed = seen[:2], seen[2:]
    assert all(any(torch.equal(x, y) for y in run.found) for batch in found for x in batch)
    assert all(any(torch.equal(x, y) for y in known.images) for batch in placed for x in batch)
    assert torch.equal(run.found, known.found) and not torch.equal(run.found, run.images)


def test_looks_change_grey_levels_inside_the_head_only():
    images = pear().repeat(6, 1, 1, 1)
    out = random_looks(images, torch.Generator().manual_seed(0))
    assert out.shape == images.shape and len({round(x.item(), 4) for x in out.flatten(1).sum(1)}) == 6
    far = torch.nn.functional.max_pool2d(images, 7, 1, 3) == 0  # beyond the blur
    assert out[far].abs().max() == 0 and (out - images).abs().flatten(1).max(1).values.min() > 0.05


def test_the_frame_of_a_brain_is_its_middle_and_covariance():
    x = middle_points((60, 50), 2.0)
    inside = ((x[..., 0] - 4) / 30).square() + ((x[..., 1] + 6) / 40).square() < 1
    frame = Frame((60, 50), 2.0, x[inside].mean(0), torch.cov(x[inside].T))
    other = ((x[..., 0] + 2) / 24).square() + ((x[..., 1] - 3) / 44).square() < 1
    matrix = frame.matched(other)
    expected = torch.tensor([[0.8, 0, -2 - 0.8 * 4], [0, 1.1, 3 + 1.1 * 6], [0, 0, 1]])
    assert torch.allclose(matrix, expected, atol=0.35)


def test_the_shipped_configuration_can_be_trained():
    config = read_config("equivariant-t2-brain-2d")
    method = build(config["method"], config["dimension"], config["settings"])
    assert method.shape[::-1] == tuple(config["working"]["size"])
    for stage in config["training"]["stages"]:
        assert set(config["weights"][stage["network"]]) <= {*TERMS, *DENSE_TERMS, "supervised", "brought"}
    trained = {s["group"] for s in config["sources"]}
    assert {r["group"] for r in config["recipes"]} == trained
    for kept in config["held_out"]:  # a subject is on one side only
        used = next(s for s in config["sources"] if s["group"] == kept["group"])
        assert set(kept["only"]) == set(used["exclude"])


def test_real_slices_are_seen_as_they_were_found_in_the_share_asked_for(tmp_path, monkeypatch):
    seen = []
    terms = EquivariantObjective.terms
    monkeypatch.setattr(EquivariantObjective, "terms", lambda s, x, g: seen.append(x) or terms(s, x, g))
    run = trainer(tmp_path, 40, {"template": 1.0}, batch=12, real=0.25)
    run.real = pear(3.0)
    run.run()
    drawn = torch.cat(seen)
    real = torch.tensor([torch.equal(x, run.real[0]) for x in drawn])
    assert 0.15 < real.float().mean() < 0.35
    assert all(any(torch.equal(x, y) for y in run.found) for x in drawn[~real])


def test_a_real_slice_gets_the_references_middle_and_size_and_keeps_its_turn(tmp_path):
    line = torch.arange(128.0) - 63.5
    j, i = line[:, None] - 9, line[None] + 14
    turn = math.radians(7)
    u, v = i * math.cos(turn) + j * math.sin(turn), j * math.cos(turn) - i * math.sin(turn)
    head = 0.6 * ((u / 30).square() + (v / 40).square() < 1).float()
    for number in range(10):
        picture = Image((255 * head).to(torch.uint8)[None], Grid.regular((128, 128), 1.0))
        write_image(picture, tmp_path / f"p{number}.png")
    source = {"group": "x", "slices": tmp_path.name, "images": {"t2": "p*.png"}, "spacing": 1.0, "part": [0.3, 0.5]}
    wide = F.interpolate(pear(), scale_factor=2.0)
    out = real_slices(source, tmp_path.parent, wide[0])
    assert out.shape == (2, *wide.shape[2:])
    middles, sizes = zip(*(spread_of(x) for x in (out[:1, None], wide)), strict=True)
    assert (middles[0] - torch.tensor([0.0, 0.0])).abs().max() < 0.3 and abs(sizes[0] / sizes[1] - 1) < 0.05
    covariance = moments(out[:1, None], 1.0)[1][0]
    angle = 0.5 * math.degrees(math.atan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1]))
    assert abs(abs(angle) - 83) < 3
