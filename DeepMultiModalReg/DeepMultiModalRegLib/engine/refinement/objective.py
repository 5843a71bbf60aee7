"""Objective: how badly two images agree under a displacement, and the quadratic model a step is taken by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.parallel import each
from .reading import read_rows
from .solve import entries

CHUNK = 1 << 16  # voxels whose gradients are held at once: they stay in the processor's cache


@dataclass
class Quadratic:
    """Around a displacement: energy (N,) per voxel, slope (N, D, *shape), curvature (N, D (D + 1) / 2, *shape)."""

    energy: Tensor
    slope: Tensor
    curvature: Tensor


class SquaredDifference:
    """The squared difference of two images of features, each computed once; the moving one is read where points move.

    The model is Gauss and Newton's, with the gradient of the mean of both images (Vercauteren et al. 2009: efficient
    second-order minimisation), for a step taken in the fixed image's space before the displacement.
    """

    def __init__(self, fixed: Tensor, moving: Tensor, weight: Tensor | None = None, counts: Tensor | None = None):
        """fixed, moving: (N, *shape, C), one type; weight: (N, *shape), how much a fixed voxel counts; counts: (N,
        *shape), how much a moving one does."""
        self.fixed, self.moving, self.weight = fixed, moving, weight
        self.counts = None if counts is None else counts[..., None].to(fixed.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.fixed.shape[1:-1])

    def around(self, displacement: Tensor, model: bool = True) -> Quadratic:
        """displacement: (N, D, *shape), voxels."""
        moved = read_rows(self.moving, displacement)
        weight = self.weight
        if self.counts is not None:
            read = read_rows(self.counts, displacement)[..., 0].float()
            weight = read if weight is None else weight * read
        n, d = displacement.shape[:2]
        slope = torch.empty((n, d, *self.shape), device=moved.device)
        curvature = torch.empty((n, len(entries(d)), *self.shape), device=moved.device)
        energy = torch.zeros(n, device=moved.device)

        def part(place: tuple[slice, int, int]) -> Tensor:
            images, low, high = place
            w = None if weight is None else weight[images, low:high]
            into = tuple(x[images].movedim(1, 0)[:, :, low:high] for x in (slope, curvature)) if model else None
            square = self._part(moved, images, low, high, w, into)
            return square.reshape(energy[images].shape[0], -1).sum(1)

        places = list(_parts(n, self.shape))
        for (images, _, _), sums in zip(places, each(part, places), strict=True):
            energy[images] += sums
        energy /= moved[0, ..., 0].numel()
        if self.counts is not None:  # else points would gain by leaving the part of the moving image that counts
            whole = float(moved[..., 0].numel()) / len(moved) if self.weight is None else self.weight.flatten(1).sum(1)
            energy *= whole / weight.flatten(1).sum(1).clamp(min=1)
        return Quadratic(energy, slope, curvature)

    def _part(self, moved: Tensor, images: slice, low: int, high: int, weight: Tensor | None, into) -> Tensor:
        """Squares of some images (2D) or of the planes low to high of one (3D), where the slowest axis's gradient
        needs one plane more on each side; their slopes (D, ...) and curvatures go `into` two tensors, if not None."""
        d = len(self.shape)
        before, after = (max(0, low - 1), min(self.shape[0], high + 1)) if d == 3 else (0, self.shape[0])
        # channels first: each line of a sum over channels is then contiguous
        a = self.fixed[images, before:after].movedim(-1, 0).float()
        b = moved[images, before:after].movedim(-1, 0).float()
        inside = (slice(None), slice(None), slice(low - before, high - before))
        difference = (b - a)[inside].contiguous()
        square = _contracted(difference, difference, weight)
        if into is None:
            return square
        mean = (a + b).mul_(0.5).contiguous()
        gradients = [central(mean, 1 + d - axis)[inside] for axis in range(d)]  # along I, J(, K)
        slope, curvature = into
        for axis in range(d):
            slope[axis] = _contracted(difference, gradients[axis], weight)
        for entry, (i, j) in enumerate(entries(d)):
            curvature[entry] = _contracted(gradients[i], gradients[j], weight)
        return square


def _parts(count: int, shape: tuple[int, ...]) -> Iterator[tuple[slice, int, int]]:
    """Images and planes of about CHUNK voxels: some images in 2D, some planes of one image in 3D."""
    if len(shape) == 2:
        some = max(1, CHUNK // (shape[0] * shape[1]))
        for first in range(0, count, some):
            yield slice(first, min(count, first + some)), 0, shape[0]
        return
    planes = max(1, CHUNK // (shape[1] * shape[2]))
    for image in range(count):
        for low in range(0, shape[0], planes):
            yield slice(image, image + 1), low, min(shape[0], low + planes)


def _contracted(a: Tensor, b: Tensor, weight: Tensor | None) -> Tensor:
    """Sum over the first axis of a * b, weighted."""
    total = (a * b).sum(0)
    return total if weight is None else total.mul_(weight)


def central(x: Tensor, axis: int) -> Tensor:
    """Central differences, one-sided at the border, zero along an axis of one voxel."""
    out = torch.empty_like(x)
    n = x.shape[axis]
    if n == 1:
        return out.zero_()
    torch.sub(x.narrow(axis, 2, n - 2), x.narrow(axis, 0, n - 2), out=out.narrow(axis, 1, n - 2)).mul_(0.5)
    torch.sub(x.narrow(axis, 1, 1), x.narrow(axis, 0, 1), out=out.narrow(axis, 0, 1))
    torch.sub(x.narrow(axis, n - 1, 1), x.narrow(axis, n - 2, 1), out=out.narrow(axis, n - 1, 1))
    return out
