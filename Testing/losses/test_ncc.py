"""Local correlation against a loop, and its stand-in as a difference of standardised images."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.losses.ncc import FLAT, local_correlation, local_mean, standardised


@pytest.mark.parametrize("shape", [(5, 6, 4), (7, 6)])
def test_the_local_mean_is_that_of_what_there_is_of_the_window(shape):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    found = local_mean(image[None, None], 1)[0, 0]
    for x in torch.cartesian_prod(*[torch.arange(n) for n in shape]).tolist():
        window = image[tuple(slice(max(0, p - 1), p + 2) for p in x)]
        assert float(found[tuple(x)]) == pytest.approx(float(window.mean()), abs=1e-6)


def test_local_correlation_equals_a_loop_over_windows():
    generator = torch.Generator().manual_seed(2)
    a, b = torch.rand((6, 7), generator=generator), torch.rand((6, 7), generator=generator)
    total = 0.0
    for j in range(6):
        for i in range(7):
            window = (slice(max(0, j - 1), j + 2), slice(max(0, i - 1), i + 2))
            x, y = a[window] - a[window].mean(), b[window] - b[window].mean()
            total += (x * y).mean() ** 2 / ((x.square().mean() + FLAT) * (y.square().mean() + FLAT))
    assert float(local_correlation(a[None, None], b[None, None], 1)) == pytest.approx(float(total) / 42, rel=1e-4)


def test_local_correlation_is_one_under_any_brightness_and_contrast_and_falls_with_noise():
    a = torch.rand((1, 1, 12, 12, 12), generator=torch.Generator().manual_seed(3))
    assert float(local_correlation(a, 0.4 + 0.5 * a)) > 0.99
    assert float(local_correlation(a, 1 - a)) > 0.99
    assert float(local_correlation(a, torch.rand(a.shape, generator=torch.Generator().manual_seed(4)))) < 0.1


def test_standardised_images_differ_by_twice_one_minus_the_correlation():
    generator = torch.Generator().manual_seed(5)
    a = torch.rand((1, 1, 40, 40), generator=generator)
    b = 0.5 * a + 0.2 * torch.rand(a.shape, generator=generator)
    za, zb = standardised(a, 5), standardised(b, 5)
    correlation = local_mean(za * zb, 5)[..., 10:-10, 10:-10].mean()
    half = (za - zb).square()[..., 10:-10, 10:-10].mean() / 2
    assert float(half) == pytest.approx(1 - float(correlation), abs=0.05)
    assert torch.allclose(za, standardised(0.3 + 0.7 * a, 5), atol=0.02)
