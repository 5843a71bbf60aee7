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
