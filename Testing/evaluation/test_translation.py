"""MSE, PSNR and SSIM against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.evaluation.translation import mean_squared_error, psnr, ssim


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_psnr_of_a_constant_offset_is_that_of_its_square():
    image = noise(20, 30) * 0.5
    assert mean_squared_error(image, image + 0.1) == pytest.approx(0.01)
    assert psnr(image, image + 0.1) == pytest.approx(20.0)
    assert psnr(255 * image, 255 * (image + 0.1), span=255) == pytest.approx(20.0)
    assert psnr(image, image) == math.inf


def test_the_mask_leaves_the_rest_out():
    a, b = torch.zeros(20, 20), torch.zeros(20, 20)
    b[:, :10] = 0.5
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[:, :5] = True
    assert mean_squared_error(a, b) == pytest.approx(0.125)
    assert mean_squared_error(a, b, mask) == pytest.approx(0.25)


def test_ssim_of_equal_images_is_one_in_2d_and_3d():
    assert ssim(noise(16, 20), noise(16, 20)) == pytest.approx(1.0)
    assert ssim(noise(12, 14, 16), noise(12, 14, 16)) == pytest.approx(1.0)


def test_ssim_of_two_constants_is_its_luminance_term():
    a, b = torch.full((20, 20), 0.4), torch.full((20, 20), 0.6)
    c1 = 0.01**2
    assert ssim(a, b) == pytest.approx((2 * 0.4 * 0.6 + c1) / (0.4**2 + 0.6**2 + c1), rel=1e-6)


def test_ssim_of_opposite_contrast_is_negative_and_of_independent_noise_near_zero():
    image = noise(40, 40)
    assert ssim(image, 1 - image) < -0.5
    assert abs(ssim(image, noise(40, 40, seed=1))) < 0.25


def test_ssim_equals_the_definition_written_out_at_one_voxel():
    a, b = noise(11, 11), noise(11, 11, seed=2)
    taps = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / 4.5)
    window = taps[:, None] * taps[None] / taps.sum() ** 2
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (
        (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    assert ssim(a, b) == pytest.approx(expected.item(), rel=1e-9)


def test_images_too_small_for_the_window_and_of_different_shape_are_refused():
    with pytest.raises(InputError, match="11 voxels"):
        ssim(noise(10, 20), noise(10, 20))
    with pytest.raises(InputError, match="cannot be compared"):
        psnr(noise(11, 12), noise(12, 11))
