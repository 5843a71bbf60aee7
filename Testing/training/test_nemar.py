"""What NeMAR is trained on: both orders, their commutation, the discriminator's step."""

from __future__ import annotations

import pytest
import torch
from methods.test_nemar import Known
from training.test_pairs import sampler

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.warp import warp
from DeepMultiModalRegLib.training.deformation import Ranges, random_displacement
from DeepMultiModalRegLib.training.draws import Draws
from DeepMultiModalRegLib.training.nemar import NemarObjective, _distance
from DeepMultiModalRegLib.training.train import CONFIGS, read_config

LEVEL = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4}
ALL = {name: 1.0 for name in ("translate_first", "warp_first", "adversarial", "smoothness", "commutation")}


def objective(weights=ALL) -> NemarObjective:
    torch.manual_seed(0)
    method = build("nemar", 2, {"levels": [LEVEL], "steps": 5, "width": 4, "blocks": 1})
    return NemarObjective(method, {"translator": weights, "together": weights}, width=4)


def batch(size: int = 3):
    return Draws(sampler((32, 32)), 0, 0, size, 3, False)[0]


def test_a_translator_of_single_voxels_commutes_with_a_warp_by_whole_voxels():
    o = objective()
    o.method.translator = Known(lambda x: 1 - x)
    o.method.ways = shifted
    b = batch()
    for backward in (False, True):
        b.backward[:] = backward
        o.method.translator = Known(lambda x: 1 - x)
        terms = o.terms("together", b, torch.Generator())
        assert terms["commutation"] < 1e-5
        assert torch.isclose(terms["translate_first"], terms["warp_first"], atol=1e-5)
        o.method.translator = Known(lambda x: x * torch.linspace(0, 1, x.shape[-1]))  # it sees the place
        assert o.terms("together", b, torch.Generator())["commutation"] > 0.005


def shifted(fixed, moving):
    """Everything three voxels on, and its inverse."""
    field = torch.full((fixed.shape[0], 2, *fixed.shape[2:]), 3.0)
    return [field, -field]


def test_a_pair_the_other_way_round_takes_the_fixed_image_to_the_moving_one_by_the_inverse():
    o = objective({"translate_first": 1.0, "warp_first": 1.0})
    o.method.translator = Known(lambda x: x)
    o.method.ways = shifted
    b = batch()
    b.backward[:] = True
    b.moving = warp(b.fixed, -torch.full((b.fixed.shape[0], 2, *b.fixed.shape[2:]), 3.0))
    exact = o.terms("together", b, torch.Generator())
    assert max(exact.values()) < 1e-5, "the moving image stays as it is, and is what the fixed one is taken to"
    b.backward[:] = False
    b.fixed, b.moving = warp(b.moving, torch.full_like(b.fixed, 3.0).expand(-1, 2, -1, -1)), b.moving
    assert max(o.terms("together", b, torch.Generator()).values()) < 1e-5
    b.backward[:] = True
    b.moving = b.fixed
    assert min(o.terms("together", b, torch.Generator()).values()) > 0.005


def test_the_translator_learns_from_known_fields_in_both_directions():
    o = objective({"translate_first": 1.0, "warp_first": 1.0})
    o.method.translator = Known(lambda x: x)
    b = batch()
    b.has_truth[:] = True
    drawn = random_displacement((32, 32), 1.75, Ranges(elastic=0.14), torch.Generator().manual_seed(3))
    b.truth = drawn.expand(3, -1, -1, -1)
    b.moving = torch.nn.functional.avg_pool2d(b.moving, 5, 1, 2)
    b.fixed = warp(b.moving, b.truth)
    for backward in (False, True):
        b.backward[:] = backward
        right = o.terms("translator", b, torch.Generator())
        b.truth = -b.truth
        wrong = o.terms("translator", b, torch.Generator())
        b.truth = -b.truth
        assert right["warp_first"] < 0.2 * wrong["warp_first"], (backward, right, wrong)


def test_the_discriminator_learns_and_lends_no_gradient_of_its_own():
    o = objective()
    before = [p.clone() for p in o.critic.parameters()]
    trained = o.trained("together").requires_grad_(True)
    terms = o.terms("together", batch(), torch.Generator())
    o.loss("together", terms).backward()
    assert any(not torch.equal(a, b) for a, b in zip(before, o.critic.parameters(), strict=True))
    assert all(p.grad is not None for p in trained.parameters())
    assert all(not p.requires_grad for p in o.critic.parameters())


def test_an_ablation_leaves_its_term_out():
    only = objective({"warp_first": 1.0})
    assert set(only.terms("together", batch(), torch.Generator())) == {"warp_first"}


def test_the_two_step_baseline_learns_to_translate_without_pairs_and_then_only_registers():
    torch.manual_seed(0)
    method = build("nemar", 2, {"levels": [LEVEL], "last": LEVEL, "steps": 5, "width": 4, "blocks": 1})
    weights = {"cycle": {"adversarial": 1.0, "cycle": 10.0}, "registration": {"translate_first": 1.0, "bilateral": 0.1}}
    o = NemarObjective(method, weights, width=4)
    method.requires_grad_(False)
    trained = o.trained("cycle").requires_grad_(True)
    pairs = batch()
    other = batch()
    other.truth, other.has_truth = other.truth + 5, ~other.has_truth
    found = [o.terms("cycle", b, torch.Generator()) for b in (pairs, other)]
    assert torch.equal(found[0]["cycle"], found[1]["cycle"]), "known fields are not used"
    o.loss("cycle", found[1]).backward()
    assert all(p.grad is not None for p in trained.parameters())
    assert all(not p.requires_grad for p in o.critic["cycle"].critics())
    method.requires_grad_(False)
    o.trained("registration").requires_grad_(True)
    o.loss("registration", o.terms("registration", batch(), torch.Generator())).backward()
    assert all(p.grad is not None for p in method.registration.last.parameters())
    assert not any(p.requires_grad for p in method.translator.parameters())


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("nemar-*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_asks_for_smoothness_and_a_weak_discriminator(path):
    """The public code's default is no smoothness at all, and a strong discriminator pulls T towards unregistering."""
    config = read_config(path)
    for stage, weights in config["weights"].items():
        free = stage == "translator" or config["settings"].get("registration") == "affine"
        assert free or weights.get("bilateral", 0) + weights.get("smoothness", 0) > 0
        likeness = weights.get("warp_first", 0) + weights.get("translate_first", 0)
        assert weights.get("adversarial", 0) <= 0.02 * likeness


def test_more_resolutions_see_more_of_what_is_coarsely_wrong():
    a, inside = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1, 16, 16)
    noise = 0.1 * (2 * (torch.arange(16) % 2) - 1).expand(1, 1, 16, 16)
    assert torch.isclose(_distance(a, a + 0.1, inside, 3), torch.tensor(0.1))
    assert torch.isclose(_distance(a, a + noise, inside, 1), torch.tensor(0.1))
    assert _distance(a, a + noise, inside, 2) < 0.051, "what alternates from voxel to voxel is gone at the next scale"


def test_with_a_frozen_planar_translator_only_the_last_level_learns_in_three_dimensions():
    torch.manual_seed(0)
    settings = {"levels": [LEVEL], "last": LEVEL, "steps": 4, "width": 4, "blocks": 1, "planewise": True}
    method = build("nemar", 3, settings)
    o = NemarObjective(method, {"registration": {"translate_first": 1.0, "bilateral": 0.1}}, width=4)
    for backward in (False, True):
        pairs = Draws(sampler((16, 16, 16)), 0, 0, 1, 3, False)[0]
        pairs.backward[:] = backward
        method.requires_grad_(False)
        o.trained("registration").requires_grad_(True)
        method.zero_grad()
        terms = o.terms("registration", pairs, torch.Generator())
        assert set(terms) == {"translate_first", "bilateral"}
        o.loss("registration", terms).backward()
        learning = {name.split(".")[1] for name, p in method.named_parameters() if p.grad is not None}
        assert learning == {"last"}


def test_what_weighs_a_field_learns_alone_for_an_affine_map():
    torch.manual_seed(0)
    settings = {"levels": [LEVEL, LEVEL], "steps": 4, "width": 4, "blocks": 1, "planewise": True}
    method = build("nemar", 3, {**settings, "registration": "affine", "looks": 2, "confidence": 4})
    o = NemarObjective(method, {"registration": {"translate_first": 1.0, "distance": 0.1}}, width=4)
    with torch.no_grad():
        torch.nn.init.normal_(method.registration.levels[0].unet.head.weight)
    method.requires_grad_(False)
    o.trained("registration").requires_grad_(True)
    pairs = Draws(sampler((32, 32, 32)), 0, 0, 1, 3, False)[0]
    o.loss("registration", o.terms("registration", pairs, torch.Generator())).backward()
    assert {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None} == {"confidence"}
    assert method.confidence.last.weight.grad.abs().sum() > 0


def test_the_two_step_baseline_translates_volumes_too():
    torch.manual_seed(0)
    method = build("nemar", 3, {"levels": [LEVEL], "steps": 4, "width": 4, "blocks": 1, "planewise": True})
    o = NemarObjective(method, {"cycle": {"adversarial": 1.0, "cycle": 10.0}}, width=4)
    method.requires_grad_(False)
    trained = o.trained("cycle").requires_grad_(True)
    terms = o.terms("cycle", Draws(sampler((32, 32, 32)), 0, 0, 1, 3, False)[0], torch.Generator())
    o.loss("cycle", terms).backward()
    assert set(terms) == {"adversarial", "cycle"} and all(p.grad is not None for p in trained.parameters())
