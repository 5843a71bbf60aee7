"""The signed-rank test: counted out by hand, against SciPy where it is there, with ties and without a difference."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.evaluation.signed_rank import signed_rank


def test_five_pairs_all_in_favour_are_two_of_the_thirty_two_signs():
    found = signed_rank([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.5, 1.0, 1.5, 2.0])
    assert found.p == pytest.approx(2 / 32) and found.greater == 15 and found.pairs == 5 and found.median == 2.0


def test_p_is_the_share_of_signs_that_are_as_uneven():
    difference = [0.3, -0.1, 0.7, 0.5, -0.2, 0.9, 0.4]
    ranks = torch.tensor(difference).abs().argsort().argsort() + 1
    least = min(sum(int(r) for r, d in zip(ranks, difference, strict=True) if sign * d > 0) for sign in (1, -1))
    sums = [sum(k * s for k, s in enumerate(signs, 1)) for signs in product((0, 1), repeat=7)]
    share = sum(s <= least or s >= 28 - least for s in sums) / 128
    assert signed_rank(difference, [0.0] * 7).p == pytest.approx(share)


@pytest.mark.parametrize("kind", ["exact", "ties", "many"])
def test_it_agrees_with_scipy(kind):
    stats = pytest.importorskip("scipy.stats")
    generator = torch.Generator().manual_seed(3)
    n = 120 if kind == "many" else 23
    a, b = torch.randn(n, generator=generator).double() + 0.2, torch.randn(n, generator=generator).double()
    if kind == "ties":
        a, b = (a * 3).round() / 3, (b * 3).round() / 3
    options = {"method": "exact"} if kind == "exact" else {"method": "approx", "correction": False}
    expected = stats.wilcoxon(a.numpy(), b.numpy(), **options).pvalue
    assert signed_rank(a.tolist(), b.tolist()).p == pytest.approx(float(expected), rel=1e-6)


def test_equal_methods_do_not_differ_and_lists_must_belong_together():
    assert signed_rank([0.5, 0.6], [0.5, 0.6]).p == 1.0
    with pytest.raises(InputError, match="same cases"):
        signed_rank([0.5], [0.5, 0.6])
