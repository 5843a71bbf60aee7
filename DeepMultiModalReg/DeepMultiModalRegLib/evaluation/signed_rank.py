"""Wilcoxon's signed-rank test of paired figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..core import InputError

EXACT = 50  # pairs up to which the distribution is counted out, where no two differences are alike


@dataclass(frozen=True)
class SignedRank:
    """p: two-sided; pairs: those that differ; greater: the sum of the ranks at which the first is greater; median: of
    the differences, first less second."""

    p: float
    pairs: int
    greater: float
    median: float


def signed_rank(first: list[float], second: list[float]) -> SignedRank:
    """Whether two methods differ on the same cases (Wilcoxon 1945); cases on which they agree do not count.

    Exact without ties and up to 50 pairs, else by the normal approximation with the correction for ties. Raises
    InputError where the lists are not of one length, or empty.
    """
    if len(first) != len(second) or not first:
        raise InputError("The signed-rank test needs two lists of figures of the same cases.")
    difference = torch.tensor(first, dtype=torch.float64) - torch.tensor(second, dtype=torch.float64)
    median = float(difference.quantile(0.5))
    difference = difference[difference != 0]
    n = len(difference)
    if n == 0:
        return SignedRank(1.0, 0, 0.0, median)
    ranks, ties = _ranks(difference.abs())
    greater = float(ranks[difference > 0].sum())
    least = min(greater, n * (n + 1) / 2 - greater)
    if not ties and n <= EXACT:
        p = 2 * float(_counts(n)[: int(least) + 1].sum()) / 2.0**n
    else:
        spread = n * (n + 1) * (2 * n + 1) / 24 - sum(t**3 - t for t in ties) / 48
        p = math.erfc((n * (n + 1) / 4 - least) / math.sqrt(2 * spread)) if spread > 0 else 1.0
    return SignedRank(min(1.0, p), n, greater, median)


def _ranks(size: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Ranks from 1, of equal ones their mean; and how many are equal, for each group of such."""
    values, where, counts = torch.unique(size, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1) / 2)[where], [int(c) for c in counts if c > 1]


def _counts(n: int) -> torch.Tensor:
    """How many of the 2 ** n signs give each sum of ranks 0 to n (n + 1) / 2."""
    counts = torch.zeros(n * (n + 1) // 2 + 1, dtype=torch.float64)
    counts[0] = 1
    for rank in range(1, n + 1):
        counts[rank:] = counts[rank:] + counts[: len(counts) - rank].clone()
    return counts
