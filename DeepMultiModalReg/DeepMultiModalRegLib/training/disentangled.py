"""What the disentangled method minimises (Wu and Zhou; its translator after MUNIT), and what was added to the papers.

Published, translator: 10 reconstruction + latent + 10 cross-cycle + adversarial, styles from the partner image, against
discriminators of three scales. Published, registration, the translator frozen: smoothness + content consistency + 5
squared difference with the translated image, both directions in one step. Added: where a pair's field is known, that
both images' contents agree along it, and more than displaced ones do (losses.place: agreement alone is met best by
contents that tell head from air and nothing else), and that the translated image is the other one; overlap of labels
and distance to the known field, as in training.field_terms. Without them neither would learn in the minutes that two
processors allow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses.place import place_contrast
from ..methods.disentangled import Disentangled
from ..networks.discriminator import ScaledDiscriminator, least_squares
from ..networks.disentangling import enlarged
from ..networks.planewise import AXES, slices_along
from ..networks.warp import enlarge, warp
from .batch import Batch
from .field_terms import HEAD, field_terms, informed_terms

SOME = 4  # of a volume's slices one in so many is judged: neighbours are alike
BACKGROUND = 0.2  # share of a voxel of air, beside one of the head, in what a translation is judged by


class DisentangledObjective:
    """weights: {stage: {term: weight}} for the stages translator, registration (the level that sees content and the
    translated image) and coarse (the levels before it, which mostly begin trained and stay). A term without a weight is
    left out.

    Terms of the translator: reconstruction, latent_content, latent_style, cross_cycle, adversarial, agreement (of
    contents along a known field), place (the same against displaced contents: losses.place), likeness (of translated
    images to real ones along it). Of the registration: content, squared, smoothness, overlap, distance. width, rate: of
    the discriminators.
    """

    def __init__(
        self, method: Disentangled, weights: dict[str, dict[str, float]], width: int = 16, rate: float = 2e-4
    ) -> None:
        self.method, self.weights = method, weights
        self.stages = ("coarse", "translator", "registration")
        self.critic = nn.ModuleList(ScaledDiscriminator(2, 1, width) for _ in range(2))
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=rate, betas=(0.5, 0.999))

    def trained(self, stage: str) -> nn.Module:
        """The network that this stage trains; the others are frozen."""
        registration = self.method.registration
        if stage == "coarse":
            return nn.ModuleList(part for part in (registration.levels, registration.last) if part is not None)
        return self.method.translator if stage == "translator" else registration.fine

    def loss(self, stage: str, terms: dict[str, Tensor]) -> Tensor:
        return sum(self.weights[stage][name] * value for name, value in terms.items())

    def terms(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Every term of a stage's loss that has a weight, unweighted."""
        if stage == "coarse":
            terms = informed_terms(self.method.registration, batch, generator)
        elif stage == "translator":
            terms = self._translator(batch, generator)
        else:
            terms = self._registration(batch, generator)
        return {name: value for name, value in terms.items() if name in self.weights[stage]}

    def _translator(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        t, n = self.method.translator, len(batch.fixed)
        turned = batch.backward.reshape(-1, *[1] * (batch.fixed.dim() - 1))
        first, second = torch.where(turned, batch.fixed, batch.moving), torch.where(turned, batch.moving, batch.fixed)
        images = torch.cat([first, second])  # row i and row n + i are partners
        which = torch.arange(2 * n, device=images.device) >= n
        content, style = t.content(images, which), t.style(images, which)
        t.remember(style[:n], 0), t.remember(style[n:], 1)
        shown = t.decoded(content, style, which)
        swapped = _swapped(content)  # the partner's content in the own style
        across = t.decoded(swapped, style, which)
        content_again, style_again = t.content(across, which, _swapped(images)), t.style(across, which)
        back = t.decoded(_swapped(content_again), style, which)
        inside = BACKGROUND + (1 - BACKGROUND) * (images > HEAD).float()
        terms = {
            "reconstruction": _distance(shown, images, inside),
            "latent_content": F.l1_loss(content_again, swapped),
            "latent_style": F.l1_loss(style_again, style),
            "cross_cycle": _distance(back, images, inside),
            **self._known(batch, content, across, generator),
        }
        if self.weights["translator"].get("adversarial", 0):
            terms["adversarial"] = self._adversarial(images, across, n)
        return terms

    def _known(
        self, batch: Batch, content: Tensor, across: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What is asked of pairs whose field is known; content and across: of the first modality, then the second."""
        turned = batch.backward.reshape(-1, *[1] * (batch.fixed.dim() - 1))
        known = batch.has_truth.reshape(turned.shape).float()
        (first, second), (as_first, as_second) = content.chunk(2), across.chunk(2)
        of_fixed, of_moving = torch.where(turned, first, second), torch.where(turned, second, first)
        as_fixed, as_moving = torch.where(turned, as_first, as_second), torch.where(turned, as_second, as_first)
        seen, warped = warp(as_fixed, batch.truth), warp(batch.moving, batch.truth)
        head = ((batch.fixed > HEAD) & (warped > HEAD)).float()
        inside = known * (BACKGROUND + (1 - BACKGROUND) * ((batch.fixed > HEAD) | (warped > HEAD)).float())
        moved = warp(enlarged(of_moving, batch.fixed.shape[2:]), batch.truth)
        still = enlarged(of_fixed, batch.fixed.shape[2:])
        apart = (still - moved).abs().mean(1, keepdim=True)
        return {
            "agreement": (apart * head * known).sum() / (head * known).sum().clamp(min=1),
            "place": place_contrast(still, moved, head * known, generator),
            "likeness": _distance(seen, batch.fixed, inside) + _distance(as_moving, warped, inside),
        }

    def _registration(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        method, shape = self.method, batch.fixed.shape[2:]
        registration = method.registration
        with torch.no_grad():
            u0 = registration.coarse(batch.fixed, batch.moving)
            full = enlarge(u0, shape)
            aligned = warp(batch.moving, full)
        velocity, _ = method.fine_velocity(batch.fixed, batch.moving, aligned, full, batch.backward)
        whole = registration.finished(u0, velocity, shape)
        terms = field_terms(batch, whole, velocity)
        return {**terms, **self._met(batch.fixed, terms.pop("warped"), batch.backward, generator)}

    def _met(self, fixed: Tensor, warped: Tensor, second: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The contents' and the translated image's distances; of volumes, on slices of one plane drawn. second: (N,)
        whether the warped image is of the second modality."""
        t = self.method.translator
        if fixed.dim() == 5:
            axis = AXES[int(torch.randint(len(AXES), (), generator=generator, device=generator.device))]
            some = tuple(slice(None, None, SOME) if a == axis else slice(None) for a in range(5))
            fixed, warped = slices_along(fixed[some], axis), slices_along(warped[some], axis)
            second = second.repeat_interleave(len(fixed) // len(second))
        with torch.no_grad():
            content, style = t.content(fixed, ~second), t.style(fixed, ~second)
        reached = t.content(warped, second)
        seen = t.decoded(reached, style, ~second)
        inside = ((fixed > HEAD) | (warped.detach() > HEAD)).float()
        squared = ((seen - fixed).square() * inside).sum() / inside.sum().clamp(min=1)
        return {"content": F.l1_loss(reached, content), "squared": squared}

    def _adversarial(self, real: Tensor, fake: Tensor, n: int) -> Tensor:
        """The translator's part; the discriminators take their own step first. Rows 0 to n - 1: the first modality."""
        self.critic.requires_grad_(True)
        judged = self._scored(real.detach(), n, True) + self._scored(fake.detach(), n, False)
        self.critic_optimizer.zero_grad(set_to_none=True)
        judged.backward()
        self.critic_optimizer.step()
        self.critic.requires_grad_(False)
        return self._scored(fake, n, True)

    def _scored(self, images: Tensor, n: int, real: bool) -> Tensor:
        """The mean over scales, summed over both modalities."""
        parts = zip(self.critic, (images[:n], images[n:]), strict=True)
        return sum(least_squares(score, real) / len(judge) for judge, part in parts for score in judge(part))


def _swapped(x: Tensor) -> Tensor:
    """Rows of the first modality and of the second exchanged."""
    return torch.cat(x.chunk(2)[::-1])


def _distance(a: Tensor, b: Tensor, inside: Tensor) -> Tensor:
    return ((a.float() - b.float()).abs() * inside).sum() / inside.sum().clamp(min=1)
