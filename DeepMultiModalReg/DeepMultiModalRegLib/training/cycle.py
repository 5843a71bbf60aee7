"""A translator learned without pairs, as CycleGAN does (Zhu et al., ICCV 2017): the first of the two steps that NeMAR
is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.discriminator import PatchDiscriminator, least_squares
from .batch import Batch
from .field_terms import HEAD


class Cycle(nn.Module):
    """What it takes besides the translator T of the method: the generator back, and a discriminator for each modality,
    which sees one image at a time."""

    def __init__(self, back: nn.Module, dimension: int, width: int) -> None:
        super().__init__()
        self.back = back
        self.first, self.second = (PatchDiscriminator(dimension, 1, width) for _ in range(2))

    def critics(self) -> list[nn.Parameter]:
        return [*self.first.parameters(), *self.second.parameters()]

    def terms(self, translator: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """adversarial: both generators against their discriminators, which take their own step first; cycle:
        |S(T(a)) - a| + |T(S(b)) - b| inside the head. Which b goes with which a is not used."""
        turned = batch.backward.reshape(-1, *[1] * (batch.fixed.dim() - 1))
        a = torch.where(turned, batch.fixed, batch.moving)
        b = torch.where(turned, batch.moving, batch.fixed).roll(1, 0)
        there, back = translator(a), self.back(b)
        judged = ((self.second, b, there), (self.first, a, back))
        for critic, _, _ in judged:
            critic.requires_grad_(True)
        loss = sum(
            least_squares(critic(real), True) + least_squares(critic(fake.detach()), False)
            for critic, real, fake in judged
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        for critic, _, _ in judged:
            critic.requires_grad_(False)
        return {
            "adversarial": sum(least_squares(critic(fake), True) for critic, _, fake in judged),
            "cycle": _inside(self.back(there), a) + _inside(translator(back), b),
        }


def _inside(found: Tensor, wanted: Tensor) -> Tensor:
    head = (wanted > HEAD).float()
    return ((found.float() - wanted.float()).abs() * head).sum() / head.sum().clamp(min=1)
