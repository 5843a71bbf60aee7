"""Coarse-to-fine fields by matching, which the methods' registration networks share.

The papers' registration networks are U-Nets on both images; on two cores such a network learns too slowly
(networks.pyramid says why). Levels of matching costs take their place, one after the other, and a last one that also
sees the moving image translated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..losses.mind import mind
from ..networks.pyramid import MatchingLevel
from ..networks.warp import enlarge, follow, halve, integrate, warp

LIKENESS = 2.0  # weight of a grey level of a translated image beside the channels of MIND


class FieldNetwork(nn.Module):
    """R: from two images to a field. levels, last, fine: settings of networks.pyramid.MatchingLevel, without their
    dimension; fine, where there is one, is the level that sees the moving image translated, in the fixed's modality."""

    def __init__(
        self, dimension: int, levels: list[dict], fine: dict | None, steps: int, last: dict | None = None
    ) -> None:
        super().__init__()
        self.steps = steps
        self.levels = nn.ModuleList(MatchingLevel(dimension, **level) for level in levels)
        self.last = None if last is None else MatchingLevel(dimension, **last, finer=True)
        self.fine = None if fine is None else MatchingLevel(dimension, **fine, images=3, finer=True)
        deepest = [len(level["widths"]) + len(levels) - i for i, level in enumerate(levels)]
        deepest += [1 + len(level["widths"]) for level in (last, fine) if level is not None]
        self.multiple = 2 ** max(deepest)

    def coarse(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """(N, D, *shape / 2), voxels of the half-resolution lattice, from the images as they are."""
        return self.coarse_ways(fixed, moving, (False,))[0]

    def coarse_ways(self, fixed: Tensor, moving: Tensor, inverse: tuple[bool, ...] = (False, True)) -> list[Tensor]:
        """`coarse`, and its inverse: for each of `inverse`, whether that is wanted."""
        velocities, shape = self.velocities(fixed, moving), tuple(n // 2 for n in fixed.shape[2:])
        return [composed(velocities, shape, self.steps, backward) for backward in inverse]

    def velocities(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """Of the levels and the last one; see `level_velocities`."""
        velocities = level_velocities(self.levels, halve(fixed), halve(moving), self.steps)
        if self.last is not None:
            velocities.append(last_velocity(self.last, fixed, moving, velocities, self.steps))
        return velocities

    def finished(self, coarse: Tensor, velocity: Tensor, shape: tuple[int, ...]) -> Tensor:
        """(N, D, *shape): the coarse field after what the fine velocity adds."""
        return enlarge(follow(coarse, integrate(velocity, self.steps)), shape)


def level_velocities(levels: nn.ModuleList, fixed: Tensor, moving: Tensor, steps: int) -> list[Tensor]:
    """Velocities (N, D, *), voxels of their own lattices, whose exponentials are applied last to first.

    levels: coarsest first, each twice as fine as the one before and the last on the images' own lattice, on MIND-SSC
    features. fixed, moving: (N, 1, *shape).
    """
    with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
        features = [mind(fixed.float(), dilation=1), mind(moving.float(), dilation=1)]
    velocities: list[Tensor] = []
    for number, level in enumerate(levels):
        f, m, ff, mf = fixed, moving, *features
        if velocities:
            m, mf = _moved(moving, features[1], composed(velocities, fixed.shape[2:], steps))
        for _ in range(len(levels) - 1 - number):
            f, m, ff, mf = halve(f), halve(m), halve(ff), halve(mf)
        velocities.append(level([f, m], ff, mf))
    return velocities


def last_velocity(last: MatchingLevel, fixed: Tensor, moving: Tensor, velocities: list[Tensor], steps: int) -> Tensor:
    """One more level after `velocities`, at half the resolution, on features of the images' own."""
    aligned = warp(moving, composed(velocities, fixed.shape[2:], steps))
    with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
        features = [mind(fixed.float()), mind(aligned.float())]
    return last([halve(fixed), halve(aligned)], *features)


def rendered_velocity(
    fine: MatchingLevel,
    fixed: Tensor,
    aligned: Tensor,
    rendered: Tensor,
    codes: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """(N, D, *shape / 2): a level that also matches grey levels: `rendered` is `aligned` in the fixed's modality.
    codes: more to match, (N, C, *shape) of the fixed and of the aligned image."""
    with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
        features = [
            torch.cat([mind(image.float()), LIKENESS * grey.float()], 1)
            for image, grey in ((fixed, fixed), (aligned, rendered))
        ]
        if codes is not None:
            features = [torch.cat(both, 1) for both in zip(features, codes, strict=True)]
    return fine([halve(fixed), halve(aligned), halve(rendered)], *features)


def composed(velocities: list[Tensor], shape: tuple[int, ...], steps: int, inverse: bool = False) -> Tensor:
    """(N, D, *shape) of exp(v1) o exp(v2) o ..., on a lattice of `shape`; or of its inverse."""
    u = None
    for velocity in velocities:
        part = enlarge(integrate(-velocity if inverse else velocity, steps), shape)
        u = part if u is None else follow(part, u) if inverse else follow(u, part)
    return u


def _moved(image: Tensor, features: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Image and features read where the field so far puts them. The next level's costs carry no gradient back."""
    with torch.no_grad():
        both = warp(torch.cat([image, features], 1), displacement)
    return both[:, :1], both[:, 1:]
