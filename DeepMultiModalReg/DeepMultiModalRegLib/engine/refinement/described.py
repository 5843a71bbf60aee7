"""Described: a model's features of a pair, on lattices that the model was not trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...methods.base import Method
from ...networks.unet import INTERPOLATION


class Described:
    """Calls method.features(fixed, moving) at the method's own spacing and brings what it says back to the images'.

    spacing: mm the method was trained at. A network that has seen one resolution describes another one badly, and fine
    images would take it many times as long.
    """

    def __init__(self, method: Method, spacing: float) -> None:
        self.method, self.spacing = method, spacing

    def __call__(self, fixed: Tensor, moving: Tensor, spacing: float) -> tuple[Tensor, Tensor]:
        """fixed, moving: (N, 1, *shape) in [0, 1], voxels of `spacing` mm; features (N, C, *shape) float32 of both."""
        shape, multiple = tuple(fixed.shape[2:]), self.method.multiple
        mode = INTERPOLATION[len(shape)]
        own = [max(1, round(n * spacing / self.spacing)) for n in shape]
        whole = [math.ceil(n / multiple) * multiple for n in own]
        margin = [side for n, w in zip(reversed(own), reversed(whole), strict=True) for side in (0, w - n)]
        with torch.no_grad():
            seen = [F.pad(_resized(image.float(), own, mode), margin) for image in (fixed, moving)]
            method = self.method.to(fixed.device).eval()
            inside = (slice(None), slice(None), *(slice(0, n) for n in own))
            both = method.features(*seen)
            return tuple(_resized(features[inside].float(), shape, mode) for features in both)


def _resized(x: Tensor, shape, mode: str) -> Tensor:
    """x (N, C, *any) on a lattice of `shape` of the same extent; means over voxels where that is coarser."""
    if tuple(x.shape[2:]) == tuple(shape):
        return x
    if all(new < old for new, old in zip(shape, x.shape[2:], strict=True)):
        return F.interpolate(x, size=tuple(shape), mode="area")
    return F.interpolate(x, size=tuple(shape), mode=mode, align_corners=False)
