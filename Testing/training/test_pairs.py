"""Drawn training pairs: the stated truth must be the truth."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.networks.warp import warp
from DeepMultiModalRegLib.training.batch import collate
from DeepMultiModalRegLib.training.deformation import Ranges, random_displacement
from DeepMultiModalRegLib.training.pairs import PairSampler, Recipe
from DeepMultiModalRegLib.training.subjects import Subject, tissue_table
from DeepMultiModalRegLib.training.synthesis import draw_contrast, synthesise
from DeepMultiModalRegLib.training.validation import determinant, label_dice, validate, validation_pairs


def phantom(name: str, radius: float) -> Subject:
    """Nested ellipsoids on an oblique, anisotropic lattice, with two "modalities" of the same anatomy."""
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.2, 0.1], [0.2, 0, 0], [-0.1, 0, 0]], dtype=torch.float64))
    grid = Grid((50, 60, 40), (2.0, 2.0, 2.5), (-60.0, -40.0, 30.0), tuple(turn.flatten().tolist()))
    x = grid.points() - grid.centre.float()
    labels = torch.zeros(1, *grid.shape)
    for value, share in ((1, 1.0), (2, 0.7), (3, 0.4)):
        labels[0][(x / torch.tensor([1.0, 1.2, 0.9]) - value).norm(dim=-1) < radius * share] = value
    images = {"t1": labels / 3, "t2": torch.where(labels > 0, 1.2 - labels / 3, 0.0)}
    return Subject(name, "phantom", grid, images, labels, tissue_table(torch.arange(4.0), None), grid.centre)


SUBJECTS = [phantom("a", 38), phantom("b", 44)]


def sampler(shape: tuple[int, ...], **changes) -> PairSampler:
    recipe = Recipe(
        **{
            "group": "phantom",
            "images": "real",
            "same": True,
            "weight": 1,
            "shape": shape,
            "heights": (-5, 5),
            **changes,
        }
    )
    return PairSampler(SUBJECTS, [recipe], 2.0, Ranges(3, 10, 0.1), Ranges(5, 15, 0.1))


@pytest.mark.parametrize("shape", [(48, 48), (48, 56, 48)])
@pytest.mark.parametrize("images", ["real", "synthetic"])
def test_warping_the_moving_labels_by_the_truth_gives_the_fixed_labels(shape, images):
    s = sampler(shape, images=images, stripped=0.0)
    for seed in range(3):
        pair = s.draw(torch.Generator().manual_seed(seed), s.recipes[0])
        aligned = label_dice(pair.fixed_labels, warp(pair.moving_labels, pair.truth, "nearest"))
        backwards = label_dice(pair.fixed_labels, warp(pair.moving_labels, -pair.truth, "nearest"))
        assert aligned > 0.9 > backwards


def test_two_people_share_no_truth_and_one_person_has_two_modalities():
    pair = sampler((48, 48), same=False).draw(
        torch.Generator().manual_seed(0), sampler((48, 48), same=False).recipes[0]
    )
    assert pair.truth is None
    assert pair.kind == "phantom-real-cross"


def test_the_same_generator_draws_the_same_pair():
    s = sampler((48, 48), images="synthetic")
    a, b, c = (s.draw(torch.Generator().manual_seed(seed), s.recipes[0]) for seed in (5, 5, 6))
    assert torch.equal(a.fixed, b.fixed) and torch.equal(a.truth, b.truth)
    assert not torch.equal(a.fixed, c.fixed)


@pytest.mark.parametrize("shape", [(64, 64), (40, 48, 40)])
def test_random_deformations_do_not_fold(shape):
    for seed in range(4):
        u = random_displacement(shape, 2.0, Ranges(elastic=0.15), torch.Generator().manual_seed(seed))
        assert determinant(u).min() > 0
        assert u.abs().max() > 0


def test_the_determinant_of_a_scaling_is_its_volume():
    x = torch.stack(torch.meshgrid(*[torch.arange(6.0)] * 3, indexing="ij")[::-1])[None]
    assert torch.allclose(determinant(0.1 * x), torch.tensor(1.1**3), atol=1e-5)


def test_a_t2_contrast_reverses_the_order_of_grey_levels_in_the_brain():
    table = tissue_table(torch.arange(4.0), None)
    table.t1_mean[:] = torch.tensor([0.0, 40.0, 100.0, 160.0])
    table.t1_spread[:] = 0.0
    g = torch.Generator().manual_seed(0)
    t1, t2 = draw_contrast(table, "t1", g), draw_contrast(table, "t2", g)
    assert (t1[1:].diff() > 0).all()
    assert t2[1] > t2[3]


def test_synthesised_images_lie_in_zero_to_one_and_differ_by_seed():
    labels = SUBJECTS[0].labels[:, None, ..., :]
    table = SUBJECTS[0].table
    images = [synthesise(labels, table, "random", 2.0, torch.Generator().manual_seed(s)) for s in (0, 1)]
    for image in images:
        assert image.min() >= 0 and image.max() <= 1 and torch.isfinite(image).all()
    assert (images[0] - images[1]).abs().mean() > 0.01


def test_a_batch_holds_memberships_of_labels_that_both_images_show():
    s = sampler((48, 48))
    g = torch.Generator().manual_seed(1)
    batch = collate([s.draw(g, s.recipes[0]) for _ in range(3)], 5, g)
    assert batch.fixed_members.shape == (3, 5, 48, 48)
    assert batch.has_truth.all()
    # three labels exist, two places stay empty in both images
    assert ((batch.fixed_members.sum((2, 3)) > 0).sum(1) <= 3).all()
    assert torch.equal(batch.fixed_members.sum((2, 3)) > 0, batch.moving_members.sum((2, 3)) > 0)


def test_validation_of_the_truth_has_no_error():
    s = sampler((48, 48))
    pairs = validation_pairs(s, 2)

    def oracle(fixed, moving):
        from DeepMultiModalRegLib.methods.base import MethodOutput

        return MethodOutput(next(p.truth for p in pairs if p.fixed is fixed))

    perfect, start = validate(oracle, pairs, 2.0)["all"], validate(oracle, pairs, 2.0, identity=True)["all"]
    assert perfect.error_mm == 0 and perfect.dice > 0.9 and perfect.folds == 0
    assert start.error_mm > 1 and start.dice < perfect.dice


def test_a_coarser_sampler_draws_the_same_anatomy_on_half_the_voxels():
    fine = sampler((48, 56, 48))
    coarse = fine.on(coarser=2)
    assert coarse.spacing == 4.0 and coarse.recipes[0].shape == (24, 28, 24)
    pair = coarse.draw(torch.Generator().manual_seed(3), coarse.recipes[0])
    assert label_dice(pair.fixed_labels, warp(pair.moving_labels, pair.truth, "nearest")) > 0.85
    assert fine.on(shape=(32, 32, 32)).recipes[0].shape == (32, 32, 32)
    people = coarse.groups["phantom"]
    assert people[0].images["t1"].shape == SUBJECTS[0].images["t1"].shape
    assert people[0].images["t1"].std() <= SUBJECTS[0].images["t1"].std()


def test_both_ways_mirrors_every_pair_and_knows_no_field_back():
    s = sampler((48, 48))
    g = torch.Generator().manual_seed(1)
    batch = collate([s.draw(g, s.recipes[0])], 3, g)
    both = batch.both_ways()
    assert torch.equal(both.fixed[1:], batch.moving) and torch.equal(both.moving[1:], batch.fixed)
    assert torch.equal(both.fixed_members[1:], batch.moving_members)
    assert both.has_truth.tolist() == [True, False]
