"""The dense head's objective: what it shows the network, what it asks of it, learning, going on after a stop."""

from __future__ import annotations

import pytest
import torch
from slice_training import assert_a_stop_changes_nothing, before_and_after, slice_trainer
from slices import SLICE_SHAPE as SHAPE
from slices import pear
from torch.nn import functional as F

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.equivariant_turns import UPRIGHT, degrees
from DeepMultiModalRegLib.networks.canonical import canonical
from DeepMultiModalRegLib.networks.dense_regressor import PIXEL, SIDE, Places, quarter
from DeepMultiModalRegLib.networks.posing import read_at
from DeepMultiModalRegLib.training.equivariant_dense import DenseObjective, _four, _nearest, dense_terms
from DeepMultiModalRegLib.training.equivariant_looks import INSIDE
from DeepMultiModalRegLib.training.equivariant_poses import CANVAS, RANGES, PoseRanges
from DeepMultiModalRegLib.training.equivariant_run import EquivariantTrainer

SETTINGS = {"shape": SHAPE, "widths": [8, 12], "head": "dense"}
SMALL = PoseRanges(2, 180, 0.1, 0.1)
PLACES = {"places": 1.0, "sureness": 0.1, "head": 0.1, "upright": 0.1, "turn": 0.3}


class Recorded(DenseObjective):
    """Keeps the squares it shows the network and how they lie, square to template; told: the network knows that."""

    def __init__(self, weights: dict, told: bool = False, **more) -> None:
        torch.manual_seed(0)
        super().__init__(build("equivariant", 2, SETTINGS), weights, pear(), SMALL, **more)
        self.squares, self.targets = [], []
        says = self.network.places
        self.network.places = lambda squares, again=False: self._shown(squares, again, None if told else says)

    def _pictures(self, images, generator):
        self.pictures, self.b = super()._pictures(images, generator)
        return self.pictures, self.b

    def _second(self, answers, angles, words, b, generator):
        self.chosen, which = super()._second(answers, angles, words, b, generator)
        return self.chosen, which

    def _shown(self, squares, again, says):
        if again:
            square = torch.diag(torch.tensor([UPRIGHT, UPRIGHT, 1.0]))
            target = (self.b @ self.chosen @ square).flatten(0, 1)
        else:
            view = canonical(self.pictures[:, :1], self.method.unit)
            target = torch.cat([self.b @ view @ quarter(k) for k in range(4)])
        self.squares.append(squares)
        self.targets.append(target)
        if says is not None:
            return says(squares, again)
        true = self.network.points @ target[:, :2, :2].transpose(1, 2) + target[:, None, :2, 2]
        flat = torch.zeros(true.shape[:2])
        return Places(true, flat - 4, flat, torch.where(degrees(target) < 45, 9.0, -9.0))


def test_a_look_shows_the_image_at_its_matrix():
    """First looks in four turns of the canonical view, second ones as an answer brings it upright: the square at x is
    the image at B x, and beside it stands where the picture was."""
    made = Recorded({**PLACES, "template": 0.1}, told=True)
    images = pear().repeat(9, 1, 1, 1)
    made.terms(images, torch.Generator().manual_seed(0))
    first, second = made.squares
    assert (len(first), len(second)) == (36, 18)
    side, unit = SIDE, made.method.unit
    line = (torch.arange(side) - (side - 1) / 2) * PIXEL / unit
    x = torch.stack([line[None].expand(side, -1), line[:, None].expand(-1, side)], -1).reshape(-1, 2)
    half = torch.tensor(SHAPE[::-1]) / 2 / unit
    for squares, b in zip(made.squares, made.targets, strict=True):
        places = (x @ b[:, :2, :2].transpose(1, 2) + b[:, None, :2, 2]) / half
        expected = F.grid_sample(
            images[:1].expand(len(b), -1, -1, -1), places.reshape(-1, side, side, 2), align_corners=False
        )
        shown, frame = squares.split(1, 1)
        assert (shown - expected)[shown > 0].abs().mean() < 0.05 and expected.std() > 0.07
        assert frame.max() > 0.99 and frame.min() == 0 and (shown[frame == 0] == 0).all()
    angles = degrees(made.targets[0]).reshape(4, 9)
    assert angles.min(0).values.max() < 46 and angles.max(0).values.min() > 134


def test_the_second_look_is_at_the_right_answer_and_at_a_wrong_one_that_is_believed():
    made = Recorded(PLACES)
    generator = torch.Generator().manual_seed(0)
    answers = torch.eye(3).repeat(4, 60, 1, 1) * torch.arange(1.0, 5)[:, None, None, None]  # told apart by their size
    angles = torch.tensor([[80.0, 10.0, 100.0, 170.0]] * 60).T
    believed = torch.tensor([[0.0, 9.0, 0.0, 6.0]] * 60).T
    chosen, which = made._second(answers, angles, believed, torch.eye(3).repeat(60, 1, 1), generator)
    right, wrong = chosen[:, :, 2, 2]
    near = torch.arange(60) % 3 == 0
    assert (right[~near] == 2).all() and (right[near] == 1).all()
    assert (wrong == 4).float().mean() > 0.9 and not (wrong == 2).any()
    assert (which[0] == 1).all() and torch.equal(which[1] + 1.0, wrong)


def test_all_four_are_looked_at_again_where_three_rivals_are_asked_for():
    made = Recorded({**PLACES, "template": 0.1}, rivals=3)
    terms = made.terms(pear().repeat(9, 1, 1, 1), torch.Generator().manual_seed(0))
    first, second = made.squares
    assert (len(first), len(second)) == (36, 36) and made.images_per_slice() == 8
    assert all(torch.isfinite(value) for value in terms.values())
    terms["turn"].backward()
    assert made.network.again.grad.abs().sum() > 0  # second looks alone are told what they are


def test_in_use_the_words_of_both_looks_add_up_so_what_the_first_knows_need_not_be_learned_again():
    made, torn = Recorded(PLACES, told=True, rivals=3), Recorded(PLACES, told=True, rivals=3)
    says = torn._shown

    def second_unsure(squares, again, own):
        said = says(squares, again, own)
        return Places(said.coordinates, said.spread, said.head, said.upright * 0) if again else said

    torn._shown = second_unsure
    images = pear().repeat(9, 1, 1, 1)
    sure, first_alone = (one.terms(images, torch.Generator().manual_seed(1))["turn"] for one in (made, torn))
    assert first_alone < sure + 0.1


def test_every_other_slice_is_mirrored_where_that_is_asked_for():
    images = torch.rand(40, 1, *SHAPE)
    for mirrored in (True, False):
        made = Recorded(PLACES, mirrored=mirrored)
        made.ranges = PoseRanges(0, 0, 0, 0)
        shown = made._pictures(images, torch.Generator().manual_seed(0))[0][:, :1]
        same, over = ((shown - other).abs().amax((1, 2, 3)) < 1e-5 for other in (images, images.flip(-1)))
        assert (same | over).all() and same.any() and bool(over.any()) == mirrored


def test_a_share_of_the_poses_is_near():
    made = Recorded(PLACES, near=0.5)
    made.ranges = PoseRanges(0, 0, 0, 0.9)
    b = made._pictures(torch.rand(200, 1, *SHAPE), torch.Generator().manual_seed(0))[1]
    near = (b[:, :2, :2] - torch.eye(2)).abs().amax((1, 2)) > 0
    assert 0.3 < (degrees(b)[near] > 1e-3).float().mean() < 0.7


def test_where_whole_heads_are_asked_for_nothing_is_cut_off_and_what_covers_them_is_posed_with_them():
    images = pear().repeat(30, 1, 1, 1)
    wide = PoseRanges(translation=max(SHAPE) / 2, rotation=180, shear=0.5, scale=0.4, inside=True)
    least, upright = {}, {}
    for whole in (0.0, 1.0):
        made = Recorded(PLACES, told=True, occlusion="square-20", whole=whole)
        made.ranges = wide
        made.terms(images, torch.Generator().manual_seed(0))
        shown, frame, head = made.pictures.unbind(1)
        area = torch.linalg.det(made.b[:, :2, :2]) * head.sum((1, 2)) / (images > INSIDE).sum((1, 2, 3))
        least[whole] = area.min().item()
        assert (frame == 1).all() and (shown[head == 0] < 0.1).all()
        # seen as the slice lay: does what is missing of the head fill an upright rectangle?
        there = torch.linalg.inv(made.b)
        seen = read_at(torch.stack([shown, head], 1), there, made.method.unit, SHAPE, 1.0)
        missing = (seen[:, 0] < 0.2) & (seen[:, 1] > 0.9)
        shares = [m.sum() / seen[n, 1][box(m)].gt(0.9).sum() for n, m in enumerate(missing) if m.sum() > 20]
        assert len(shares) > 5
        upright[whole] = torch.stack(shares).mean().item()
    assert least[0.0] < 0.7 and least[1.0] > 0.95
    assert upright[0.0] < 0.9 and upright[1.0] > 0.96
    assert made.pictures.shape[2:] == tuple(CANVAS * n for n in SHAPE)


def box(mask: torch.Tensor) -> tuple[slice, slice]:
    """The least upright rectangle around a mask (J, I)."""
    return tuple(slice(int(at.min()), int(at.max()) + 1) for at in mask.nonzero().T)


def test_a_network_that_knows_all_pays_nothing():
    made = Recorded({**PLACES, "template": 1.0}, told=True)
    terms = made.terms(pear().repeat(9, 1, 1, 1), torch.Generator().manual_seed(1))
    assert set(terms) == {*PLACES, "template"}
    assert terms["places"] < 1e-2 and terms["template"] < 1e-3
    # which of two turns is right at an eighth of one is not known to anybody
    assert terms["upright"] < 1e-2 and terms["turn"] < 3.0


def test_turns_compete_for_the_truth():
    angles = torch.tensor([[5.0, 85.0, 95.0, 175.0], [44.0, 46.0, 134.0, 136.0]]).T
    sure = torch.tensor([[9.0, -9.0, -9.0, -9.0], [0.0, 0.0, -9.0, -9.0]]).T
    assert _four(sure, angles) < 0.5 < _four(sure.flip(0), angles)
    one = sure[:, :1]
    assert _four(one, angles[:, :1]) < 1e-3
    assert _nearest(one[:2], angles[:2, :1]) < 1e-3 and _nearest(one[:2].flip(0), angles[:2, :1]) > 9
    assert _nearest(one[:2], torch.tensor([[100.0], [110.0]])) == 0  # neither is clearly nearer
    both = torch.tensor([[4.0], [9.0], [170.0], [91.0]])  # two end in the same place: either may be taken
    assert _nearest(one, both) < 1e-3 and _nearest(one[[1, 0, 2, 3]], both) < 1e-3


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


def test_terms_of_other_heads_are_refused():
    with pytest.raises(ValueError, match="information"):
        Recorded({**PLACES, "information": 1.0})


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
    run = trainer(tmp_path, 60, PLACES, batch=36)
    before, after = before_and_after(run, DenseObjective(run.method, PLACES, pear(), RANGES["D0"]), "places")
    assert after < 0.75 * before


def test_a_stopped_run_ends_where_a_straight_one_does(tmp_path):
    weights = {**PLACES, "template": 0.1, "brought": 1.0}
    assert_a_stop_changes_nothing(lambda name: trainer(tmp_path / name, 5, weights, norm="grid"))
