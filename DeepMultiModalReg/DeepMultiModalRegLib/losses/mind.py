"""MIND-SSC: what a point's surroundings look like compared with each other, the same in every modality."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

FLAT = 1e-3  # of the image's mean variance: where less happens, noise must not count as structure
STRONG = 1e3


def mind(image: Tensor, radius: int = 1, dilation: int = 2, level: float | None = None) -> Tensor:
    """The modality independent neighbourhood descriptor with self-similarity context.

    Heinrich, Jenkinson, Papiez, Brady, Schnabel: Towards realtime multimodal fusion for image-guided interventions
    using self-similarities, MICCAI 2013. The six neighbours of a voxel (four in 2D, the planar analogue), `dilation`
    voxels away, form twelve (four) pairs that are not opposite; each gives a channel exp(-D / V): D the summed squared
    difference of the two patches of 2 * radius + 1 voxels, less the least D of the voxel, V the mean over its channels.

    image: (N, 1, *shape), 2D or 3D, any range: the result does not change when the image is scaled or shifted.
    level: the mean of V where the caller knows it (see `variance_level`), so that a part of an image is described as
    the whole; else the image's own. Returns (N, 12, *shape) or (N, 4, *shape) float32 in (0, 1], 1 everywhere where
    the image is flat. Not differentiable with respect to the image: it works in place.
    """
    distance = _distances(image, radius, dilation)
    variance = distance.mean(1, keepdim=True)
    mean = float(variance.mean()) if level is None else level
    variance.clamp_(max(mean * FLAT, 1e-30), max(mean * STRONG, 1e-30))
    return distance.div_(variance.neg_()).exp_()


def variance_level(image: Tensor, radius: int = 1, dilation: int = 2) -> float:
    """The mean of V that `mind` bounds every voxel's V with: of an image, or of a part that stands for it."""
    return float(_distances(image, radius, dilation).mean())


def reach(radius: int = 1, dilation: int = 2) -> int:
    """How many voxels away from a voxel its descriptor looks."""
    return radius + dilation


def channels(dimension: int) -> int:
    return 12 if dimension == 3 else 4


def _distances(image: Tensor, radius: int, dilation: int) -> Tensor:
    """(N, channels, *shape): D less its least, not divided by the patch's voxels (that cancels in D / V)."""
    shape = image.shape[2:]
    dimension = len(shape)
    pad = reach(radius, dilation)
    padded = F.pad(image.detach().float(), (pad,) * (2 * dimension), mode="replicate")[:, 0]
    out = padded.new_empty((image.shape[0], channels(dimension), *shape))
    channel = 0
    for step, anchors in _pairs(dimension, dilation):
        # both pairs that lie `step` apart see the same differences, from two places: computed once, read twice
        low = [min(a[i] for a in anchors) for i in range(dimension)]
        high = [max(a[i] for a in anchors) for i in range(dimension)]
        begin = [pad + lo - radius for lo in low]
        end = [pad + n + hi + radius for n, hi in zip(shape, high, strict=True)]
        square = padded[_window(begin, end)] - padded[_window(begin, end, step)]
        square.square_()
        for axis in range(dimension):
            square = _box(square, axis + 1, radius)
        for anchor in anchors:
            first = [a - lo for a, lo in zip(anchor, low, strict=True)]
            last = [f + n for f, n in zip(first, shape, strict=True)]
            out[:, channel] = square[_window(first, last)]
            channel += 1
    least = out[:, 0].clone()
    for channel in range(1, out.shape[1]):
        torch.minimum(least, out[:, channel], out=least)
    return out.sub_(least[:, None])


def _pairs(dimension: int, dilation: int) -> list[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Steps b - a between neighbours a, b of a voxel that are not opposite, and the two a of each step."""
    found = []
    for i, j in combinations(range(dimension), 2):
        for sign in (1, -1):
            step, along, across = [0] * dimension, [0] * dimension, [0] * dimension
            step[i], step[j] = dilation, sign * dilation
            along[i] = -dilation  # a = -e_i, b = sign e_j
            across[j] = -sign * dilation  # a = -sign e_j, b = e_i
            found.append((tuple(step), [tuple(along), tuple(across)]))
    return found


def _window(begin: list[int], end: list[int], step: tuple[int, ...] | None = None) -> tuple:
    step = step or (0,) * len(begin)
    return (slice(None), *(slice(b + s, e + s) for b, e, s in zip(begin, end, step, strict=True)))


def _box(x: Tensor, axis: int, radius: int) -> Tensor:
    """Sums over 2 * radius + 1 neighbours along one axis, where all of them exist."""
    width = 2 * radius + 1
    n = x.shape[axis] - width + 1
    if width == 1:
        return x
    total = x.narrow(axis, 0, n) + x.narrow(axis, 1, n)
    for k in range(2, width):
        total += x.narrow(axis, k, n)
    return total
