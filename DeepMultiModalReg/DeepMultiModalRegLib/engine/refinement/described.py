"""Described: a model's features of a pair, on lattices that the model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ...methods.base import Method
from ...networks.unet import INTERPOLATION


class Described:
    """method.features(fixed, moving) at the method's own spacing.

    spacing: mm the method was trained at. A network that has seen one resolution describes another one badly, and fine
    images would take it many times as long.
    """

    def __init__(self, method: Method, spacing: float) -> None:
        self.method, self.spacing = method, spacing

    @torch.no_grad()
    def __call__(self, fixed: Tensor, moving: Tensor, spacing: float) -> tuple[Tensor, Tensor]:
        """fixed, moving: (N, 1, *shape) in [0, 1], voxels of `spacing` mm (in the plane, of slices). Features (N, C,
        *own) float32 of both, on a lattice of the same extent and about the method's spacing; see `on_lattice`."""
        multiple = self.method.multiple
        own = [max(1, round(n * spacing / self.spacing)) for n in fixed.shape[2:]]
        margin = [side for n in reversed(own) for side in (0, math.ceil(n / multiple) * multiple - n)]
        seen = [F.pad(on_lattice(image.float(), own), margin) for image in (fixed, moving)]
        inside = (slice(None), slice(None), *(slice(0, n) for n in own))
        method = self.method.to(fixed.device).eval()
        return tuple(features[inside].float() for features in method.features(*seen))


def on_lattice(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x (N, C, *any) on a lattice of `shape` of the same extent: means over voxels where that is coarser."""
    if tuple(x.shape[2:]) == tuple(shape):
        return x
    if all(new <= old for new, old in zip(shape, x.shape[2:], strict=True)):
        return F.interpolate(x, size=tuple(shape), mode="area")
    return F.interpolate(x, size=tuple(shape), mode=INTERPOLATION[len(shape)], align_corners=False)
