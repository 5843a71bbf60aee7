"""What each stage of the hierarchical method minimises (Dai, Ma, Cai, Wen), and what was added to the paper.

Added: soft Dice of anatomical labels and the distance to a known field, where a pair has them. Without labels or
synthesis an unsupervised network does not beat good classical optimisation (Jena et al., NeurIPS 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses.mutual_information import mutual_information
from ..methods.hierarchical import Hierarchical
from ..methods.matching import composed
from ..networks.warp import enlarge, follow, integrate, warp
from .batch import Batch
from .field_terms import field_terms, levels_terms


class HierarchicalObjective:
    """weights: {stage: {term: weight}} for the stages g1, g1_last (where G1 has a last level), g2, g3; terms as
    below."""

    def __init__(self, method: Hierarchical, weights: dict[str, dict[str, float]]) -> None:
        self.method = method
        self.weights = weights
        self.stages = tuple(n for n in ("g1", "g1_last", "g2", "g3") if getattr(method, n) is not None)

    def trained(self, stage: str) -> nn.Module:
        """The network that this stage trains; the others are frozen."""
        return getattr(self.method, stage)

    def terms(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Every term of a stage's loss, unweighted."""
        kinds = {"g1": self._coarse, "g1_last": self._last, "g2": self._mask, "g3": self._fine}
        return kinds[stage](batch, generator)

    def loss(self, stage: str, terms: dict[str, Tensor]) -> Tensor:
        return sum(self.weights[stage][name] * value for name, value in terms.items())

    def _coarse(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        velocities = self.method.coarse_velocities(batch.fixed, batch.moving)
        terms = levels_terms(batch, velocities, self.method.steps)
        return self._both_ways(batch, terms, velocities, generator)

    def _last(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        velocities = self.method.all_velocities(batch.fixed, batch.moving)
        displacement = composed(velocities, batch.fixed.shape[2:], self.method.steps)
        return self._both_ways(batch, field_terms(batch, displacement, velocities[-1]), velocities, generator)

    def _both_ways(
        self, batch: Batch, terms, velocities: list[Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The mutual information of the fixed with the warped moving image, and of the moving with the fixed warped
        back."""
        backward = composed(velocities, batch.fixed.shape[2:], self.method.steps, inverse=True)
        terms["information"] = -mutual_information(
            terms.pop("warped"), batch.fixed, generator=generator
        ) - mutual_information(warp(batch.fixed, backward), batch.moving, generator=generator)
        return terms

    def _mask(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():  # judged where things really are, where that is known
            known = batch.has_truth.reshape(-1, *[1] * (batch.truth.dim() - 1))
            full = batch.truth if known.all() else torch.where(known, batch.truth, self._first(batch)[0])
            aligned = warp(batch.moving, full)
        translated = self.method.translation(batch.fixed, batch.moving, aligned)
        mask = translated - batch.moving
        shown = [_to_unit(x) for x in (mask, translated)]
        return {
            "likeness": F.mse_loss(warp(translated, full), batch.fixed),
            "mask_information": -mutual_information(shown[0], batch.moving, generator=generator),
            "translated_information": -mutual_information(shown[1], batch.moving, generator=generator),
        }

    def _fine(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            full, aligned, u0 = self._first(batch)
            translated = self.method.translation(batch.fixed, batch.moving, aligned)
            translated_aligned = warp(translated, full)
        velocity = self.method.fine_velocity(batch.fixed, aligned, translated_aligned)
        whole = enlarge(follow(u0, integrate(velocity, self.method.steps)), batch.fixed.shape[2:])
        terms = field_terms(batch, whole, velocity)
        terms["information"] = -mutual_information(terms.pop("warped"), batch.fixed, generator=generator)
        terms["likeness"] = F.mse_loss(warp(translated, whole), batch.fixed)
        return terms

    def _first(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """phi0 at full resolution, the moving image warped by it, and phi0 on its own lattice."""
        u0 = self.method.coarse_displacement(batch.fixed, batch.moving)
        full = enlarge(u0, batch.fixed.shape[2:])
        return full, warp(batch.moving, full), u0


def _to_unit(x: Tensor) -> Tensor:
    """Grey levels on [0, 1] by the image's own range, for the histogram of a mask that may be negative."""
    low, high = x.detach().amin(), x.detach().amax()
    return (x - low) / (high - low).clamp(min=1e-6)
