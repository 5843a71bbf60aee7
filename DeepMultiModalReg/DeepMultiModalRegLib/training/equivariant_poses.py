"""Random poses of slices: the ranges of the equivariant paper, images moved by them, and occlusions."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.posing import read_at
from ..networks.warp import warp
from .deformation import uniform


@dataclass(frozen=True)
class PoseRanges:
    """How far a pose B = shift o turn o shear o scale about the middle may go: pixels along each axis, degrees, and
    shares; each drawn evenly, scales for each axis. The paper gives the numbers; we do not know the order of its parts.

    inside: B = turn o shear o scale o shift: the shift counts in the pixels of I o B, which shows the frame's middle at
    most that far from its own. Otherwise it counts in those of I, and a scale of a half doubles it in I o B.
    """

    translation: float
    rotation: float
    shear: float
    scale: float
    inside: bool = False

    def towards(self, wider: PoseRanges, share: float) -> PoseRanges:
        """These ranges at share 0, `wider` at share 1 and beyond, evenly between."""
        share = min(1.0, share)
        pairs = zip(astuple(self)[:-1], astuple(wider)[:-1], strict=True)
        return PoseRanges(*(near + (far - near) * share for near, far in pairs), wider.inside)

    def draw(self, count: int, unit: float, generator: torch.Generator) -> Tensor:
        """(count, 3, 3), translations in lengths of `unit` pixels, about the lattice's middle."""
        angle = uniform(-self.rotation, self.rotation, generator, count) * (math.pi / 180)
        shear = uniform(-self.shear, self.shear, generator, count)
        scale = 1 + uniform(-self.scale, self.scale, generator, count, 2)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
        slant = torch.eye(2).repeat(count, 1, 1)
        slant[:, 0, 1] = shear
        b = torch.eye(3).repeat(count, 1, 1)
        b[:, :2, :2] = turn @ slant @ torch.diag_embed(scale)
        shift = uniform(-self.translation, self.translation, generator, count, 2) / unit
        b[:, :2, 2] = (b[:, :2, :2] @ shift[:, :, None])[:, :, 0] if self.inside else shift
        return b


D0 = PoseRanges(translation=10, rotation=180, shear=0.1, scale=0.1)
RANGES = {
    "D0": D0,
    "D_trans": PoseRanges(54, 180, 0.1, 0.1),
    "D_shear": PoseRanges(10, 180, 0.5, 0.1),
    "D_scale": PoseRanges(10, 180, 0.1, 0.5),
    "D1": PoseRanges(54, 180, 0.5, 0.5, inside=True),
    "D1-far": PoseRanges(54, 180, 0.5, 0.5),
}
# how slices lie before anything is trained, where their places are not to be known: roughly upright
FOUND = PoseRanges(translation=4, rotation=8, shear=0.0, scale=0.05)

SQUARES = (20, 30, 40)  # pixels along a side of what covers a head alone, in table 4
# side of the rectangles that are blotted out, pixels, and how many at most; the paper's sizes are not known to us
OCCLUSIONS = {"small": (10, 30, 2), "large": (25, 55, 2)} | {f"square-{n}": (n, n, 1) for n in SQUARES}
# below the first share an image goes without, below the second with small ones
SHARES = {"some": (0.7, 0.85), "often": (0.4, 0.7), "mostly": (0.3, 0.55)}
KNOTS = 5  # along a side, of a random bend
CANVAS = 3  # times the slice's sides: a picture that holds the head in every pose


def wholly_moved(images: Tensor, b: Tensor, unit: float) -> Tensor:
    """I o B as networks.posing.moved, on a picture CANVAS times as large, in which nothing of a head is cut off."""
    return read_at(images, b, unit, tuple(CANVAS * n for n in images.shape[2:]), 1.0)


def occluded(images: Tensor, kind: str | None, generator: torch.Generator) -> Tensor:
    """Images (N, C, *shape) with one to some rectangles set to zero, their middles anywhere; kind: see OCCLUSIONS,
    or one of SHARES: another one, or none, for each image."""
    if kind is None:
        return images
    out = images.clone()
    height, width = images.shape[2:]
    for picture in out:
        own = kind
        if kind in SHARES:
            drawn, (none, small) = torch.rand((), generator=generator), SHARES[kind]
            if drawn < none:
                continue
            own = "small" if drawn < small else "large"
        shortest, longest, most = OCCLUSIONS[own]
        for _ in range(1 + int(torch.randint(most, (), generator=generator))):
            sides = torch.randint(shortest, longest + 1, (2,), generator=generator).tolist()
            top = int(torch.randint(height, (), generator=generator)) - sides[0] // 2
            left = int(torch.randint(width, (), generator=generator)) - sides[1] // 2
            picture[:, max(0, top) : max(0, top + sides[0]), max(0, left) : max(0, left + sides[1])] = 0
    return out


def bent(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, *shape), each bent by a smooth field of its own that shifts nothing on the whole; pixels: standard
    deviation of a component at KNOTS x KNOTS knots."""
    knots = torch.randn(len(images), 2, KNOTS, KNOTS, generator=generator) * pixels
    knots = knots - knots.mean((2, 3), keepdim=True)
    u = F.interpolate(knots, size=images.shape[2:], mode="bicubic", align_corners=True)
    return warp(images, u, padding="zeros")
