"""Local means against a loop, and local correlation as a difference of standardised images."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.losses.ncc import local_mean, standardised


@pytest.mark.parametrize("shape", [(5, 6, 4), (7, 6)])
def test_the_local_mean_is_that_of_what_there_is_of_the_window(shape):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    found = local_mean(image[None, None], 1)[0, 0]
    for x in torch.cartesian_prod(*[torch.arange(n) for n in shape]).tolist():
        window = image[tuple(slice(max(0, p - 1), p + 2) for p in x)]
        assert float(found[tuple(x)]) == pytest.approx(float(window.mean()), abs=1e-6)


def test_standardised_images_differ_by_twice_one_minus_the_correlation():
    generator = torch.Generator().manual_seed(5)
    a = torch.rand((1, 1, 40, 40), generator=generator)
    b = 0.5 * a + 0.2 * torch.rand(a.shape, generator=generator)
    za, zb = standardised(a, 5), standardised(b, 5)
    correlation = local_mean(za * zb, 5)[..., 10:-10, 10:-10].mean()
    half = (za - zb).square()[..., 10:-10, 10:-10].mean() / 2
    assert float(half) == pytest.approx(1 - float(correlation), abs=0.05)
    assert torch.allclose(za, standardised(0.3 + 0.7 * a, 5), atol=0.02)
