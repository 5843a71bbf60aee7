"""Features: images turned into channels that agree where anatomy does, once an image and level."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.parallel import each
from ...losses.mind import channels, mind, reach, variance_level
from .region import Region

SLAB_VOXELS = 1 << 19  # described at once: twelve float32 channels of it are 25 MB
SHARE = 8  # one slab in so many says how much variance the whole image has


def mind_features(
    image: Tensor, pool: int, dtype: torch.dtype = torch.float16, region: Region | None = None
) -> Tensor:
    """MIND-SSC of (N, 1, *shape), averaged over blocks of `pool` voxels a side: (N, *shape / pool, C) of `dtype`.

    Every length of `shape` must be a multiple of `pool`. In slabs, so that the full description is never held. region:
    what lies outside of it, in a volume, is described as flat.
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
            place = [slice(begin, min(shape[0], begin + planes)), slice(0, shape[1]), slice(0, shape[2])]
            into = out[number, begin // pool : place[0].stop // pool]
            if region is not None:
                into.fill_(1)
                box = region.box(begin, place[0].stop)
                if box is None:
                    return
                for axis, (first, last) in ((1, box[:2]), (2, box[2:])):
                    place[axis] = slice(first // pool * pool, -(-last // pool) * pool)
                into = into[:, *(slice(s.start // pool, s.stop // pool) for s in place[1:])]
            wide = [slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(place, shape, strict=True)]
            inner = [slice(s.start - w.start, s.stop - w.start) for s, w in zip(place, wide, strict=True)]
            described = mind(image[number : number + 1, :, *wide], level=level)[:, :, *inner]
            into.copy_(pooled_rows(described, pool, dtype)[0])

        each(slab, begins)
    return out


def pooled_rows(features: Tensor, pool: int, dtype: torch.dtype) -> Tensor:
    """(N, C, *shape) to (N, *shape / pool, C)."""
    if pool > 1:
        features = (F.avg_pool3d if features.dim() == 5 else F.avg_pool2d)(features, pool)
    return features.movedim(1, -1).to(dtype)
