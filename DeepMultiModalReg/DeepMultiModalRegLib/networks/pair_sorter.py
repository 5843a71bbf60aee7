"""Which of two aligned images is of which modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SEEN = 0.02  # grey level above which a pixel counts
WIDTH = 32


class PairSorter(nn.Module):
    """What pairs of grey levels occur at the same place says it: fluid, say, is bright in T2 where T1 is dark.

    Each pixel's pair of levels goes through two layers, their mean over what either image shows through two more
    (Zaheer et al. 2017, Deep Sets): no anatomy is learned, so that few people suffice. The score is that of the pair
    less that of the pair exchanged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.whole = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(N, 1, *shape) each, in [0, 1] and aligned, to (N,): above zero where `other` is of the second modality."""
        return self._found(one, other) - self._found(other, one)

    def _found(self, one: Tensor, other: Tensor) -> Tensor:
        pairs = torch.stack([one.flatten(1), other.flatten(1)], -1)
        shown = (pairs.amax(-1, keepdim=True) > SEEN).float()
        mean = (self.levels(pairs).float() * shown).sum(1) / shown.sum(1).clamp(min=1)
        return self.whole(mean)[:, 0].float()
