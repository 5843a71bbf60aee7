"""Normalised cross-correlation in small windows: agreement up to a local brightness and contrast."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

FLAT = 1e-4  # of the squared grey range: windows with less variance show nothing


def local_mean(x: Tensor, radius: int) -> Tensor:
    """Means over windows of 2 * radius + 1 voxels a side, one axis after the other; (N, C, *shape), borders counted
    over what there is of the window."""
    pool = F.avg_pool3d if x.dim() == 5 else F.avg_pool2d
    d = x.dim() - 2
    for axis in range(d):
        size = [2 * radius + 1 if i == axis else 1 for i in range(d)]
        x = pool(x, size, stride=1, padding=[radius if i == axis else 0 for i in range(d)], count_include_pad=False)
    return x


def standardised(image: Tensor, radius: int = 3) -> Tensor:
    """(N, 1, *shape), grey levels in [0, 1], less the local mean, over the local standard deviation: half the mean
    squared difference of two such images is one minus their local correlation, where they vary enough."""
    image = image.float()
    mean = local_mean(image, radius)
    variance = (local_mean(image.square(), radius) - mean.square()).clamp(min=0)
    return (image - mean) / (variance + FLAT).sqrt()


def local_correlation(a: Tensor, b: Tensor, radius: int = 3) -> Tensor:
    """The mean over the voxels of the squared correlation in windows about them, in [0, 1]; Avants et al. 2008.

    a, b: (N, 1, *shape), grey levels in [0, 1]. Differentiable; flat windows count as no correlation.
    """
    a, b = a.float(), b.float()
    mean_a, mean_b = local_mean(a, radius), local_mean(b, radius)
    covariance = local_mean(a * b, radius) - mean_a * mean_b
    variance_a = (local_mean(a * a, radius) - mean_a * mean_a).clamp(min=0)
    variance_b = (local_mean(b * b, radius) - mean_b * mean_b).clamp(min=0)
    return (covariance.square() / ((variance_a + FLAT) * (variance_b + FLAT))).mean()
