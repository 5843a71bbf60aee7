"""How alike a translated image and the real one are: MSE, PSNR and SSIM."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import InputError


def mean_squared_error(a: Tensor, b: Tensor, mask: Tensor | None = None) -> float:
    """The mean of (a - b)^2 over all voxels, or over those inside `mask` (bool, of the same shape)."""
    _same_shape(a, b)
    difference = (a.double() - b.double()) ** 2
    return float(difference.mean() if mask is None else difference[mask].mean())


def psnr(a: Tensor, b: Tensor, span: float = 1.0, mask: Tensor | None = None) -> float:
    """10 log10(span^2 / MSE) in dB; span is the range intensities may take; infinite for equal images."""
    error = mean_squared_error(a, b, mask)
    return math.inf if error == 0 else 10 * math.log10(span * span / error)


def ssim(a: Tensor, b: Tensor, span: float = 1.0, mask: Tensor | None = None) -> float:
    """Mean structural similarity of two images (*shape), 2D or 3D (Wang et al. 2004).

    Gaussian window of sigma 1.5 cut at 11 voxels, K1 0.01, K2 0.03, population variances; averaged where the window
    fits (5 voxels off the border), or over the voxels of `mask` there. 1 for equal images.
    """
    _same_shape(a, b)
    if min(a.shape) < 11:
        raise InputError(f"SSIM needs at least 11 voxels along each axis, not {tuple(a.shape)}.")
    x, y = a.double(), b.double()
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    if mask is None:
        return float(similarity.mean())
    return float(similarity[mask[(slice(5, -5),) * a.ndim]].mean())


def _blurred(image: Tensor) -> Tensor:
    """A Gaussian of sigma 1.5, eleven taps, along every axis; the border of five voxels is lost."""
    taps = torch.exp(-((torch.arange(11, dtype=image.dtype) - 5) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    for axis in range(image.ndim):
        lines = image.movedim(axis, -1)
        shape = lines.shape
        lines = F.conv1d(lines.reshape(-1, 1, shape[-1]), taps.reshape(1, 1, -1))
        image = lines.reshape(*shape[:-1], -1).movedim(-1, axis)
    return image


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise InputError(f"Images of shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be compared; resample one.")
