"""What the disentangled method is trained on: known translations cost nothing, both discriminators learn, R alone moves
in its stage."""

from __future__ import annotations

import math

import pytest
import torch
from methods.test_disentangled import SETTINGS, Known
from training.test_pairs import sampler

from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.warp import warp
from DeepMultiModalRegLib.training.disentangled import DisentangledObjective
from DeepMultiModalRegLib.training.draws import Draws

PUBLISHED = ("reconstruction", "latent_content", "latent_style", "cross_cycle", "adversarial")
TRANSLATOR = {name: 1.0 for name in (*PUBLISHED, "agreement", "place", "likeness")}
REGISTRATION = {name: 1.0 for name in ("content", "squared", "smoothness", "overlap", "distance")}


def objective(dimension: int = 2, **changes) -> DisentangledObjective:
    torch.manual_seed(0)
    method = build("disentangled", dimension, SETTINGS)
    weights = {"translator": {**TRANSLATOR, **changes}, "registration": REGISTRATION}
    return DisentangledObjective(method, weights, width=4)


def batch(size: int = 3, both_ways: bool = False, side: int = 32):
    return Draws(sampler((side, side)), 0, 0, size, 3, both_ways)[0]


class Perfect(Known):
    """Known, whose decoders and encoders keep no style."""

    def remember(self, styles, which):
        pass

    def style(self, images, which):
        return images.new_zeros(len(images), 1)


def aligned_batch():
    """Pairs of one anatomy under a known shift of whole voxels: the second modality shows c as 1 - c^2."""
    b = batch(4)
    content = torch.zeros(4, 1, 32, 32)
    content[..., 8:20, 8:20] = 0.2 + 0.6 * torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    b.truth = torch.zeros(4, 2, 32, 32)
    b.truth[:, 0] = 3.0
    b.has_truth[:] = True
    b.backward = torch.tensor([True, False, True, False])
    shifted = content.roll(3, -1)  # moving at x + 3 is fixed at x
    turned = b.backward[:, None, None, None]
    b.fixed = torch.where(turned, content, 1 - content.square())
    b.moving = torch.where(turned, 1 - shifted.square(), shifted)
    return b


def test_a_translator_that_is_right_costs_nothing_and_a_wrong_field_costs():
    o, b = objective(adversarial=0.0), aligned_batch()
    o.method.translator = Perfect()
    assert torch.allclose(warp(b.moving[:1], b.truth[:1])[..., 4:24], 1 - b.fixed[:1].square()[..., 4:24], atol=1e-5)
    terms = o.terms("translator", b, torch.Generator())
    for name in set(terms) - {"adversarial", "place"}:  # place: one channel of content tells few places for certain
        assert terms[name] < 1e-3, name
    b.truth[:, 0] = -3.0
    wrong = o.terms("translator", b, torch.Generator())
    assert wrong["agreement"] > 0.1 and wrong["likeness"] > 0.1 and wrong["place"] > terms["place"] + 0.3
    b.has_truth[:] = False
    unknown = o.terms("translator", b, torch.Generator())
    assert unknown["agreement"] == unknown["likeness"] == 0 and unknown["reconstruction"] < 1e-3
    assert unknown["place"] == pytest.approx(math.log(25)), "nothing is asked of it"


def test_a_term_without_a_weight_is_left_out():
    o = objective()
    del o.weights["translator"]["adversarial"], o.weights["translator"]["agreement"]
    terms = o.terms("translator", batch(), torch.Generator())
    assert set(terms) == set(TRANSLATOR) - {"adversarial", "agreement"}


def test_every_network_of_the_translator_learns_and_both_discriminators_take_their_own_step():
    o = objective()
    before = [p.clone() for p in o.critic.parameters()]
    trained = o.trained("translator").requires_grad_(True)
    o.loss("translator", o.terms("translator", batch(side=96), torch.Generator())).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained.parameters())
    for judge in o.critic:
        assert all(p.grad is not None for p in judge.parameters())
    assert sum(not torch.equal(a, b) for a, b in zip(before, o.critic.parameters(), strict=True)) > len(before) / 2
    assert all(not p.requires_grad for p in o.critic.parameters())
    assert o.method.translator.stored.abs().sum() > 0


@pytest.mark.parametrize("dimension", [2, 3])
def test_registration_teaches_r_alone_in_both_directions_at_once(dimension):
    o = objective(dimension)
    b = batch(2, both_ways=True) if dimension == 2 else Draws(sampler((16, 24, 16)), 0, 0, 2, 3, True)[0]
    assert torch.equal(b.backward[:2], ~b.backward[2:])
    o.method.requires_grad_(False)
    trained = o.trained("registration").requires_grad_(True)
    terms = o.terms("registration", b, torch.Generator())
    (terms["content"] + 5 * terms["squared"]).backward()  # through the frozen translator to the field
    assert set(terms) == set(REGISTRATION)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.parameters())
    assert all(p.grad is None for p in o.method.translator.parameters())


def test_images_that_lie_on_each_other_cost_less_than_displaced_ones():
    o, b = objective(), aligned_batch()
    o.method.translator = Perfect()
    o.method.registration.coarse = lambda fixed, moving: o.field / 2
    still = torch.zeros(4, 2, 16, 16)
    o.method.registration.fine = torch.nn.Module()
    o.method.registration.fine.forward = lambda images, *features: still
    o.field = torch.zeros(4, 2, 16, 16)
    apart = o.terms("registration", b, torch.Generator())
    o.field[:, 0] = 3.0  # voxels of the full lattice
    met = o.terms("registration", b, torch.Generator())
    assert met["content"] < 0.1 * apart["content"] and met["squared"] < 0.1 * apart["squared"]


@pytest.mark.parametrize("stage", ["coarse", "translator", "registration"])
def test_each_stage_trains_its_own_networks_and_no_other(stage):
    o = objective(adversarial=0.0)
    o.weights["coarse"] = {"information": 0.1, "smoothness": 0.2, "distance": 0.3}
    o.method.requires_grad_(False)
    o.trained(stage).requires_grad_(True)
    o.loss(stage, o.terms(stage, batch(), torch.Generator().manual_seed(0))).backward()
    learned = {name for name, p in o.method.named_parameters() if p.grad is not None}
    part = {"coarse": "registration.levels", "translator": "translator", "registration": "registration.fine"}[stage]
    assert learned == {name for name, _ in o.method.named_parameters() if name.startswith(part)}
