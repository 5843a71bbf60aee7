"""Objective: how badly two images agree under a displacement, and the quadratic model a step is taken by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.parallel import each
from .reading import positions, read_at
from .region import Region, whole
from .solve import entries

Place = tuple[slice, ...]  # images, then a box of the lattice
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

    def __init__(
        self, fixed: Tensor, moving: Tensor, weight: Tensor | None = None, counts: Tensor | None = None,
        region: Region | None = None,
    ) -> None:  # fmt: skip
        """fixed, moving: (N, *shape, C), one type; weight: (N, *shape), how much a fixed voxel counts; counts: (N,
        *shape), how much a moving one does; region: outside of it nothing is looked at, and nothing pulls."""
        self.fixed, self.moving, self.weight, self.region = fixed, moving, weight, region
        self.counts = None if counts is None else counts[..., None].to(fixed.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.fixed.shape[1:-1])

    def around(self, displacement: Tensor, model: bool = True) -> Quadratic:
        """displacement: (N, D, *shape), voxels."""
        n, d = displacement.shape[:2]
        new = torch.empty if self.region is None else torch.zeros
        device = displacement.device
        slope = new((n, d, *self.shape), device=device) if model else None
        curvature = new((n, len(entries(d)), *self.shape), device=device) if model else None

        places = list(_places(n, self.shape, self.region))
        # outside of the region it is read as flat, as it is described there
        moved = (torch.empty_like if self.region is None else torch.ones_like)(self.fixed)
        weight = self._read(displacement, places, moved)

        def part(place: Place) -> Tensor:
            return self._part(moved, weight, place, (slope, curvature) if model else None)

        sums = torch.zeros(3, n, device=device)  # of squares, of what counts, of what could
        for place, found in zip(places, each(part, places), strict=True):
            sums[:, place[0]] += found
        energy = sums[0] / self.fixed[0, ..., 0].numel()
        if self.counts is not None:  # else points would gain by leaving the part of the moving image that counts
            energy *= sums[2] / sums[1].clamp(min=1)
        return Quadratic(energy, slope, curvature)

    def _read(self, displacement: Tensor, places: list[Place], moved: Tensor) -> Tensor | None:
        """Fills `moved` with the moving features and returns what each voxel counts, (N, *shape), or None."""
        weight = self.weight if self.counts is None else torch.zeros(self.fixed.shape[:-1], device=moved.device)

        def read(place: Place) -> None:
            at = positions(displacement[(place[0], slice(None), *place[1:])], tuple(s.start for s in place[1:]))
            moved[place] = read_at(self.moving[place[0]], at)
            if self.counts is not None:
                found = read_at(self.counts[place[0]], at)[..., 0].float()
                weight[place] = found if self.weight is None else found * self.weight[place]

        each(read, places)
        return weight

    def _part(
        self, moved: Tensor, weight: Tensor | None, place: Place, into: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """(3, some images): the sums of some images (2D) or of some planes of one (3D); slopes and curvatures go
        `into` two tensors, if not None. Gradients need one voxel more on each side."""
        d = len(self.shape)
        wide = tuple(
            slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(place[1:], self.shape, strict=True)
        )
        inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(place[1:], wide, strict=True))
        inside = (slice(None), slice(None), *inner)
        weight, possible = (None if w is None else w[place] for w in (weight, self.weight))
        # channels first: each line of a sum over channels is then contiguous
        a = self.fixed[(place[0], *wide)].movedim(-1, 0).float()
        b = moved[(place[0], *wide)].movedim(-1, 0).float()
        difference = (b - a)[inside].contiguous()
        square = _contracted(difference, difference, weight)
        if into is not None:
            mean = (a + b).mul_(0.5).contiguous()
            gradients = [central(mean, 1 + d - axis)[inside] for axis in range(d)]  # along I, J(, K)
            slope, curvature = (x[(place[0], slice(None), *place[1:])].movedim(1, 0) for x in into)
            for axis in range(d):
                slope[axis] = _contracted(difference, gradients[axis], weight)
            for entry, (i, j) in enumerate(entries(d)):
                curvature[entry] = _contracted(gradients[i], gradients[j], weight)
        full = torch.full((len(square),), float(square[0].numel()), device=square.device)
        counted, could = (full if w is None else w.flatten(1).sum(1) for w in (weight, possible))
        return torch.stack([square.flatten(1).sum(1), counted, could])


def _places(count: int, shape: tuple[int, ...], region: Region | None) -> Iterator[Place]:
    """Parts of about CHUNK voxels: some images in 2D, the region's boxes in some planes of one image in 3D."""
    if len(shape) == 2:
        some = max(1, CHUNK // (shape[0] * shape[1]))
        for first in range(0, count, some):
            yield slice(first, min(count, first + some)), slice(0, shape[0]), slice(0, shape[1])
        return
    for image in range(count):
        for low, high, (top, bottom, left, right) in (region or whole(shape)).slabs(CHUNK):
            yield slice(image, image + 1), slice(low, high), slice(top, bottom), slice(left, right)


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
