"""What NeMAR minimises (Arar et al., CVPR 2020), and what was added to the paper.

Published: 100 (|T(a o phi) - b| + |T(a) o phi - b|) + adversarial on both + lambda smoothness, T, R and a conditional
discriminator trained together; the smoothness may be weighed by the warped image (bilateral). Added: overlap of labels
and distance to known fields (training.field_terms), and a first stage in which T alone learns from pairs of one person
whose field is known.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..losses.smoothness import bilateral
from ..methods.nemar import Nemar
from ..networks.discriminator import PatchDiscriminator, least_squares
from ..networks.warp import halve, inverted, warp
from .batch import Batch
from .cycle import Cycle
from .field_terms import HEAD, field_terms, informed_terms

ORDERS = ("translate_first", "warp_first")


class NemarObjective:
    """weights: {stage: {term: weight}} for the stages levels (all of the registration network, on the images as they
    are: for modalities that it has not seen), translator, together; and cycle (training.cycle) and registration, in
    which the translator is frozen: the two-step baseline, and all that three dimensions leave time for.

    Where the moving image is of the second modality, it is b, and the inverse of the field takes a to it: both orders
    are then two terms as well, and b stays as it is.

    Terms: translate_first |T(a) o phi - b|, warp_first |T(a o phi) - b|, adversarial, smoothness, bilateral, overlap,
    distance; commutation |T(a o phi) - T(a) o phi| is tracked, and may have the weight 0. An order or the adversarial
    term whose weight is 0 is left out: these are the ablations. `scales` beside the terms: how many resolutions both
    orders are compared at, 1 by default.
    """

    def __init__(self, method: Nemar, weights: dict[str, dict[str, float]], width: int = 32, rate: float = 2e-4):
        self.method, self.weights = method, weights
        self.stages = ("levels", "translator", "together", "cycle", "registration")
        planar = 2 if hasattr(method.translator, "network") else method.dimension
        # whatever is trained and is not the method's, for the checkpoint
        self.critic = nn.ModuleDict({"pairs": PatchDiscriminator(planar, 2, width)})
        if "cycle" in weights:
            self.critic["cycle"] = Cycle(copy.deepcopy(method.translator), planar, width)
        judges = [p for name, p in self.critic.named_parameters() if not name.startswith("cycle.back.")]
        self.critic_optimizer = torch.optim.Adam(judges, lr=rate, betas=(0.5, 0.999))

    def trained(self, stage: str) -> nn.Module:
        """The networks that this stage trains; the others are frozen. Of a method that weighs its field that is
        what weighs it: all of R, trained for an affine map, got worse in some hundred steps."""
        registration = self.method.registration
        last = registration.levels[-1] if registration.last is None else registration.last
        last = last if self.method.confidence is None else self.method.confidence
        if stage == "cycle":
            return nn.ModuleList([self.method.translator, self.critic["cycle"].back])
        if stage == "levels":
            return registration
        networks = {"translator": [self.method.translator], "registration": [last]}
        return nn.ModuleList(networks.get(stage, [self.method.translator, last]))

    def translator(self, image: Tensor) -> Tensor:
        """T, for training.preservation to judge."""
        return self.method.translator(image)

    def loss(self, stage: str, terms: dict[str, Tensor]) -> Tensor:
        return sum(self.weights[stage][name] * value for name, value in terms.items())

    def terms(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Every term of a stage's loss, unweighted."""
        weights = self.weights[stage]
        if stage == "cycle":
            return self.critic["cycle"].terms(self.method.translator, batch, self.critic_optimizer)
        if stage == "levels":
            return informed_terms(self.method.registration, batch, generator)
        scales = weights.get("scales", 1)
        if stage == "translator":
            terms: dict[str, Tensor] = {}
            phi, inverse = self._known_ways(batch)
        else:
            phi, inverse = self.method.ways(batch.fixed, batch.moving)
            terms = field_terms(batch, phi, phi)
            warped = terms.pop("warped")
            if "bilateral" in weights:
                terms["bilateral"] = bilateral(phi, warped)
        turned = batch.backward.reshape(-1, *[1] * (batch.fixed.dim() - 1))
        a, b, psi = (torch.where(turned, *both) for both in (
            (batch.fixed, batch.moving), (batch.moving, batch.fixed), (inverse, phi)
        ))  # fmt: skip
        source = warp(a, psi)
        inside = ((b > HEAD) | (source > HEAD)).float()
        found = {}
        if weights.get("warp_first", 0) or "commutation" in weights:
            found["warp_first"] = self.method.translator(source)
        if weights.get("translate_first", 0) or "commutation" in weights:
            found["translate_first"] = warp(self.method.translator(a), psi)
        if "commutation" in weights:
            terms["commutation"] = _distance(*found.values(), inside).detach()
        wanted = {order: seen for order, seen in found.items() if weights.get(order, 0)}
        terms |= {order: _distance(seen, b, inside, scales) for order, seen in wanted.items()}
        if weights.get("adversarial", 0):
            terms["adversarial"] = self._adversarial(source, b, list(wanted.values()))
        return {name: value for name, value in terms.items() if name in weights}

    @torch.no_grad()
    def _known_ways(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The true field and its inverse; where none is known, the network's."""
        true = batch.truth, inverted(batch.truth)
        if batch.has_truth.all():
            return true
        known = batch.has_truth.reshape(-1, *[1] * (batch.truth.dim() - 1))
        found = self.method.ways(batch.fixed, batch.moving)
        return tuple(torch.where(known, *both) for both in zip(true, found, strict=True))

    def _adversarial(self, source: Tensor, target: Tensor, fakes: list[Tensor]) -> Tensor:
        """The translator's part; the discriminator takes its own step first, on what it is shown now."""
        source, target = source.detach(), target.detach()
        critic = self.critic["pairs"].requires_grad_(True)
        judged = [least_squares(critic(torch.cat([source, target], 1)), True)]
        judged += [least_squares(critic(torch.cat([source, fake.detach()], 1)), False) for fake in fakes]
        self.critic_optimizer.zero_grad(set_to_none=True)
        (judged[0] + sum(judged[1:]) / max(1, len(fakes))).backward()
        self.critic_optimizer.step()
        critic.requires_grad_(False)
        return sum(least_squares(critic(torch.cat([source, fake], 1)), True) for fake in fakes)


def _distance(a: Tensor, b: Tensor, inside: Tensor, scales: int = 1) -> Tensor:
    """Mean |a - b| inside; of `scales` 2 or more the mean over as many resolutions, each half the one before."""
    total, a, b = 0.0, a.float(), b.float()
    for scale in range(scales):
        if scale:
            a, b, inside = halve(a), halve(b), halve(inside)
        total = total + ((a - b).abs() * inside).sum() / inside.sum().clamp(min=1)
    return total / scales
