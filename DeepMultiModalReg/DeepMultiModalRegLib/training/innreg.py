"""What each stage of INNReg minimises (Guo et al., ECCV 2024), and what was added to the paper.

Published: |T(A) warped - B| + |T^-1(B) - A warped| + smoothness + w barrier(MI), translator and registration trained in
turns after a warm-up. Added: the registration also has the overlap of labels and the distance to a known field, as in
training.hierarchical; the translator is judged where things really are when that is known.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses.barrier import information_barrier, scheduled
from ..losses.mutual_information import mutual_information
from ..methods.innreg import Innreg
from ..methods.matching import rendered_velocity
from ..networks.warp import enlarge, halve, warp
from .batch import Batch
from .field_terms import HEAD, field_terms, informed_terms

BACKGROUND = 0.2  # share of a pixel of air, beside one of the head, in what a translation is judged by


class InnregObjective:
    """weights: {stage: {term: weight}} for the stages direction (which image is of which modality), translator,
    registration (the level that sees the translated image) and coarse (the levels before it, which mostly begin trained
    and stay); `threshold` beside the terms is the barrier's, in nats; with `threshold_begin` it rises from there over
    the first half of the stage."""

    def __init__(self, method: Innreg, weights: dict[str, dict[str, float]]) -> None:
        self.method, self.weights = method, weights
        self.share = 1.0  # of the stage that is done
        self.stages = ("direction", "coarse", "translator", "registration")

    @property
    def translator(self) -> nn.Module | None:
        """T, for training.preservation to judge."""
        return self.method.translator

    def trained(self, stage: str) -> nn.Module:
        """The network that this stage trains; the others are frozen."""
        registration = self.method.registration
        if stage == "coarse":
            return nn.ModuleList(part for part in (registration.levels, registration.last) if part is not None)
        own = {"direction": self.method.sorter, "translator": self.method.translator}
        return own.get(stage, registration.fine)

    def terms(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Every term of a stage's loss, unweighted."""
        if stage == "coarse":
            return informed_terms(self.method.registration, batch, generator)
        kinds = {"direction": self._direction, "translator": self._translator, "registration": self._registration}
        return kinds[stage](batch, generator)

    def loss(self, stage: str, terms: dict[str, Tensor]) -> Tensor:
        weights = self.weights[stage]
        return sum(weights[name] * value for name, value in terms.items() if name in weights)

    def _direction(self, batch: Batch, _generator: torch.Generator) -> dict[str, Tensor]:
        """How surely the image of the second modality is told from the other one."""
        with torch.no_grad():
            aligned = warp(batch.moving, self._where(batch))
        score = self.method.sorter(halve(batch.fixed), halve(aligned))
        return {"direction": F.binary_cross_entropy_with_logits(score, batch.backward.float())}

    def _translator(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            full = self._where(batch)
        rendered = self.method.translation(batch.moving, batch.backward)
        terms = self._appearance(batch, rendered, full)
        information = self._information("translator", terms.pop("seen"), batch.fixed, generator)
        return {**terms, **information}

    def _registration(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        registration = self.method.registration
        with torch.no_grad():
            u0 = registration.coarse(batch.fixed, batch.moving)
            full = enlarge(u0, batch.fixed.shape[2:])
            aligned = warp(batch.moving, full)
            rendered = self.method.translation(batch.moving, batch.backward)
            rendered_aligned = warp(rendered, full)
        velocity = rendered_velocity(registration.fine, batch.fixed, aligned, rendered_aligned)
        whole = registration.finished(u0, velocity, batch.fixed.shape[2:])
        terms = field_terms(batch, whole, velocity)
        warped = terms.pop("warped")
        terms.update(self._appearance(batch, rendered, whole, warped))
        if self.method.translator is None:  # without translation only the information is left
            terms.pop("there"), terms.pop("back")
        information = self._information("registration", terms.pop("seen"), batch.fixed, generator)
        return {**terms, **information}

    def _appearance(self, batch: Batch, rendered: Tensor, full: Tensor, warped: Tensor | None = None):
        """|T(A) warped - B| and |T^-1(B) - A warped|, mean over the head, the air around it counting BACKGROUND: else
        nothing keeps it black; seen: T(A) warped."""
        seen = warp(rendered, full)
        back = self.method.translation(batch.fixed, ~batch.backward)
        moved = warp(batch.moving, full) if warped is None else warped
        inside = ((batch.fixed > HEAD) | (moved.detach() > HEAD)).float()
        counted = inside + BACKGROUND * (1 - inside)

        def difference(a: Tensor, b: Tensor) -> Tensor:
            return ((a.float() - b.float()).abs() * counted).sum() / inside.sum().clamp(min=1)

        return {"there": difference(seen, batch.fixed), "back": difference(back, moved), "seen": seen}

    def _information(self, stage: str, seen: Tensor, fixed: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The barrier, or the information itself in the ablation whose weights name it."""
        information = mutual_information(seen.clamp(0, 1), fixed, generator=generator)
        weights = self.weights[stage]
        if "information" in weights:
            return {"information": -information}
        threshold = scheduled(weights.get("threshold_begin", weights["threshold"]), weights["threshold"], self.share)
        return {"barrier": information_barrier(information, threshold)}

    def _where(self, batch: Batch) -> Tensor:
        """The known field; between two people the one that the levels find."""
        if batch.has_truth.all():
            return batch.truth
        known = batch.has_truth.reshape(-1, *[1] * (batch.truth.dim() - 1))
        found = enlarge(self.method.registration.coarse(batch.fixed, batch.moving), batch.fixed.shape[2:])
        return torch.where(known, batch.truth, found)
