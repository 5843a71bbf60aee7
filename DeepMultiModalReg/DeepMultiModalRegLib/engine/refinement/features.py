"""Features: images turned into channels that agree where anatomy does, once an image and level."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.parallel import each
from ...losses.mind import channels, mind, reach, variance_level

SLAB_VOXELS = 1 << 19  # described at once: twelve float32 channels of it are 25 MB
SHARE = 8  # one slab in so many says how much variance the whole image has


def mind_features(image: Tensor, pool: int, dtype: torch.dtype = torch.float16) -> Tensor:
    """MIND-SSC of (N, 1, *shape), averaged over blocks of `pool` voxels a side: (N, *shape / pool, C) of `dtype`.

    Every length of `shape` must be a multiple of `pool`. In slabs, so that the full description is never held.
    """
    n, _, *shape = image.shape
    d = len(shape)
    out = torch.empty((n, *(s // pool for s in shape), channels(d)), dtype=dtype, device=image.device)
    margin = reach()
    if d == 2:  # slices are slabs by themselves
        rows = max(1, SLAB_VOXELS // (shape[0] * shape[1]))
        for first in range(0, n, rows):
            part = slice(first, min(n, first + rows))
            out[part] = pooled_rows(mind(image[part]), pool, dtype)
        return out
    planes = max(pool, SLAB_VOXELS // (shape[1] * shape[2]) // pool * pool)
    begins = list(range(0, shape[0], planes))
    for number in range(n):
        some = begins[len(begins) // 2 % SHARE :: SHARE]
        level = sum(variance_level(image[number : number + 1, :, b : b + planes]) for b in some) / len(some)

        def slab(begin: int, number: int = number, level: float = level) -> None:
            end = min(shape[0], begin + planes)
            low, high = max(0, begin - margin), min(shape[0], end + margin)
            described = mind(image[number : number + 1, :, low:high], level=level)[:, :, begin - low : end - low]
            out[number, begin // pool : end // pool] = pooled_rows(described, pool, dtype)[0]

        each(slab, begins)
    return out


def pooled_rows(features: Tensor, pool: int, dtype: torch.dtype) -> Tensor:
    """(N, C, *shape) to (N, *shape / pool, C)."""
    if pool > 1:
        features = (F.avg_pool3d if features.dim() == 5 else F.avg_pool2d)(features, pool)
    return features.movedim(1, -1).to(dtype)
