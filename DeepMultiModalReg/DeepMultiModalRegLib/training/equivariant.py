"""What the equivariant method minimises in 2D, term by term as published, on slices moved by random poses."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..losses import equivariance as losses
from ..losses.mutual_information import mutual_information
from ..methods.equivariant import Equivariant
from ..networks.posing import moved
from .equivariant_looks import random_looks
from .equivariant_poses import PoseRanges, occluded

TERMS = ("equivariance", "reference", "size", "anisotropy", "template", "information")


class EquivariantObjective:
    """One stage's loss. weights: of TERMS; those that are not named are not computed.

    equivariance, reference, size, anisotropy: the published ones. template: B R(I o B) against the identity, the second
    step's loss (images brought to the template) and the supervised one (images whose place is known). information:
    minus the mutual information of I o B o R(I o B) with the template, in nats.
    norm: "frobenius" or "grid". looks: whether the network sees each image with a random look. held: R(I) in
    L_equiv is what R(I o B) has to come to, without a gradient of its own: with one, both shrink, which is cheap.
    references: (R, 1, *shape), the template, one or several renderings of it.
    """

    def __init__(
        self,
        method: Equivariant,
        weights: dict[str, float],
        references: Tensor,
        ranges: PoseRanges,
        norm: str = "frobenius",
        occlusion: str | None = None,
        looks: bool = False,
        held: bool = False,
    ) -> None:
        if unknown := set(weights) - set(TERMS):
            raise ValueError(f"The terms {sorted(unknown)} are not among {', '.join(TERMS)}.")
        self.method, self.weights, self.references = method, weights, references
        self.ranges, self.occlusion, self.looks = ranges, occlusion, looks
        self.held = held
        self.norm = losses.frobenius if norm == "frobenius" else partial(losses.grid, points=corners(method))

    def images_per_slice(self) -> int:
        """How many images the network sees for each slice of a batch."""
        return 1 + ("equivariance" in self.weights) + ("reference" in self.weights)

    def terms(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """images: (N, 1, *shape) slices in the place where they were found."""
        unit, count, wanted = self.method.unit, len(images), self.weights
        b = self.ranges.draw(count, unit, generator)
        seen = [occluded(moved(images, b, unit), self.occlusion, generator)]
        if "equivariance" in wanted:
            seen.append(images)
        if "reference" in wanted:
            chosen = self.references[torch.randint(len(self.references), (count,), generator=generator)]
            b_ref = self.ranges.draw(count, unit, generator)
            seen.append(occluded(moved(chosen, b_ref, unit), self.occlusion, generator))
        shown = torch.cat(seen)
        if self.looks:
            with torch.autocast(images.device.type, enabled=False):
                shown = random_looks(shown, generator)
        answers = list(self.method.regress(shown).split(count))
        with torch.autocast(images.device.type, enabled=False):  # half precision is for the network alone
            return self._terms(images, b, answers, b_ref if "reference" in wanted else None, generator)

    def _terms(self, images: Tensor, b: Tensor, answers: list[Tensor], b_ref, generator) -> dict[str, Tensor]:
        wanted, first = self.weights, answers[0]
        whole = b @ first  # B R(I o B)
        terms = {}
        if "equivariance" in wanted:
            plain = answers[1].detach() if self.held else answers[1]
            terms["equivariance"] = losses.equivariance(first, b, plain, self.norm)
        if "reference" in wanted:
            terms["reference"] = losses.reference(answers[-1], b_ref, self.norm)
        if "template" in wanted:
            terms["template"] = losses.reference(first, b, self.norm)
        if "size" in wanted:
            terms["size"] = losses.size(whole)
        if "anisotropy" in wanted:
            terms["anisotropy"] = losses.anisotropy(whole)
        if "information" in wanted:  # I o B o R(I o B), read once
            fixed = self.references[:1].expand(len(images), -1, -1, -1)
            back = moved(images, whole, self.method.unit)
            terms["information"] = -mutual_information(back, fixed, samples=4000, generator=generator)
        return terms

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        return sum(self.weights[name] * value for name, value in terms.items())


def corners(method: Equivariant) -> Tensor:
    """(9, 3) points of the Grid norm: corners, middles of the edges and middle of the image, in the method's unit."""
    return losses.grid_points(torch.tensor(method.shape[::-1]) / 2 / method.unit)


@torch.no_grad()
def template_poses(method: Equivariant, images: Tensor, batch: int = 64) -> Tensor:
    """R (N, 3, 3) of images (N, 1, *shape), nearly upright: where the method, as it is now, thinks the template's frame
    lies. I o R(I) are the images brought to the template, the published second step's."""
    was = method.training
    method.eval()
    parts = [method.regress(part, upright=True) for part in images.split(batch)]
    method.train(was)
    return torch.cat(parts)
