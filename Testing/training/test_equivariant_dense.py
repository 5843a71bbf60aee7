"""The dense head's objective: what it shows the network, what it asks of it, learning, going on after a stop."""

from __future__ import annotations

import pytest
import torch
from slice_training import assert_a_stop_changes_nothing, before_and_after, slice_trainer
from slices import SLICE_SHAPE as SHAPE
from slices import pear
from torch.nn import functional as F

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.dense_regressor import Places
from DeepMultiModalRegLib.training.equivariant_dense import KNOWN, DenseObjective, dense_terms, turned
from DeepMultiModalRegLib.training.equivariant_poses import RANGES, PoseRanges
from DeepMultiModalRegLib.training.equivariant_run import EquivariantTrainer

SETTINGS = {"shape": SHAPE, "widths": [8, 12], "head": "dense"}
SMALL = PoseRanges(2, 180, 0.1, 0.1)
PLACES = {"places": 1.0, "sureness": 0.1, "head": 0.1, "upright": 0.2}


def objective(weights: dict | None = None, canonical: bool = False, **more) -> DenseObjective:
    torch.manual_seed(0)
    method = build("equivariant", 2, SETTINGS | {"canonical": canonical})
    return DenseObjective(method, weights or {**PLACES, "template": 0.1}, pear(), SMALL, **more)


@pytest.mark.parametrize("canonical", [False, True])
def test_a_view_shows_the_image_at_its_matrix(canonical):
    """Turned, looked at again or at its canonical view: the square at x is the image at B x."""
    made = objective(canonical=canonical)
    images = pear().repeat(12, 1, 1, 1)
    squares, b, heads = made._views(images, torch.Generator().manual_seed(0))
    side, unit = made.network.side, made.method.unit
    line = (torch.arange(side) - (side - 1) / 2) / unit
    x = torch.stack([line[None].expand(side, -1), line[:, None].expand(-1, side)], -1).reshape(-1, 2)
    places = x @ b[:, :2, :2].transpose(1, 2) + b[:, None, :2, 2]
    half = torch.tensor(SHAPE[::-1]) / 2 / unit
    expected = F.grid_sample(images, (places / half).reshape(12, side, side, 2), align_corners=False)
    assert (squares - expected)[squares > 0].abs().mean() < 0.06 and expected.std() > 0.15
    assert heads.shape == (12, (side // 4) ** 2) and 0.1 < heads.mean() < 0.4
    angles = turned(b)
    assert angles.max() > KNOWN and (angles < KNOWN).float().mean() > 0.5


def test_every_other_view_is_mirrored_where_that_is_asked_for():
    made, plain = objective(mirrored=True), objective()
    images = torch.rand(40, 1, *SHAPE)
    seen = [o._views(images, torch.Generator().manual_seed(0))[0] for o in (made, plain)]
    assert not torch.equal(*seen)
    upright = PoseRanges(0, 0, 0, 0)
    for one in (made, plain):
        one.ranges = upright
    shown, b, _ = made._views(images, torch.Generator().manual_seed(0))
    flat = made.network.squared(images)[0]
    still = (b[:, :2, :2] - torch.eye(2)).abs().amax((1, 2)) < 1e-6  # neither turned nor looked at again
    same, turned_over = ((shown - other).abs().amax((1, 2, 3)) < 1e-5 for other in (flat, _mirrored(made, images)))
    assert still.sum() > 5 and (same | turned_over)[still].all()
    assert same[still].any() and turned_over[still].any()


def _mirrored(made: DenseObjective, images: torch.Tensor) -> torch.Tensor:
    return made.network.squared(images.flip(-1))[0]


def test_a_network_that_knows_all_pays_nothing_for_places():
    made = objective({**PLACES, "template": 1.0, "equivariance": 1.0, "reference": 1.0, "size": 1.0}, held=True)
    views, seen = made._views, []

    def recorded(*arguments):
        seen.append(views(*arguments))
        return seen[-1]

    def knowing(squares: torch.Tensor) -> Places:
        shift = made.network.squared(pear())[1]
        b = torch.cat([view[1] for view in seen])
        plain = torch.linalg.inv(torch.linalg.inv(shift)).expand(len(squares) - len(b), -1, -1)
        b = torch.cat([b, plain])  # an image that is not moved lies upright
        true = made.network.points @ b[:, :2, :2].transpose(1, 2) + b[:, None, :2, 2]
        return Places(true, torch.full(true.shape[:2], -4.0), torch.zeros(true.shape[:2]), torch.zeros(len(true)))

    made._views, made.network.places = recorded, knowing
    terms = made.terms(pear().repeat(9, 1, 1, 1), torch.Generator().manual_seed(1))
    assert set(terms) == {*PLACES, "template", "equivariance", "reference", "size"}
    assert terms["places"] < 1e-2
    assert all(terms[name] < 1e-3 for name in ("template", "equivariance", "reference", "size"))


def test_far_turns_teach_doubt_but_no_places():
    points = torch.rand(20, 2)
    coordinates = torch.rand(2, 20, 2, requires_grad=True)
    spread, upright = torch.zeros(2, 20, requires_grad=True), torch.zeros(2, requires_grad=True)
    said = Places(coordinates, spread, torch.zeros(2, 20), upright)
    targets = torch.stack([torch.eye(3), torch.diag(torch.tensor([-1.0, -1.0, 1.0]))])
    sum(dense_terms(said, points, targets, torch.ones(2, 20)).values()).backward()
    assert coordinates.grad[0].abs().sum() > 0 and coordinates.grad[1].abs().sum() == 0
    assert spread.grad[1].abs().sum() > 0
    assert upright.grad[0] < 0 < upright.grad[1]


def test_terms_of_places_need_the_dense_head(tmp_path):
    torch.manual_seed(0)
    method = build("equivariant", 2, {"shape": SHAPE, "widths": [4, 8]})
    stage = {"network": "warm", "steps": 1, "rate": 1e-3, "batch": 4, "pose": "D0"}
    run = EquivariantTrainer(method, pear()[None, 0], pear(), [stage], {"warm": PLACES}, 0, tmp_path, bfloat16=False)
    with pytest.raises(ValueError, match="places"):
        run.run()


def trainer(out, steps: int, weights: dict, **stage) -> EquivariantTrainer:
    return slice_trainer(out, SETTINGS, weights, steps=steps, **stage)


def test_training_learns_places(tmp_path):
    run = trainer(tmp_path, 60, PLACES)
    before, after = before_and_after(run, DenseObjective(run.method, PLACES, pear(), RANGES["D0"]), "places")
    assert after < 0.6 * before


def test_a_stopped_run_ends_where_a_straight_one_does(tmp_path):
    weights = {**PLACES, "template": 0.1, "brought": 1.0}
    assert_a_stop_changes_nothing(lambda name: trainer(tmp_path / name, 5, weights, norm="grid"))
