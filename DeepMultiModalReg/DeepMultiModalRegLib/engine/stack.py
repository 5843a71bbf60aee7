"""Stack: what a planar network cannot know of a volume, whose slices it sees one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Affine, DenseField, halfway, split
from .align import FINE, align
from .body import body_points
from .chain import chained
from .choice import better_in_planes
from .network import Pair
from .refine import Refined, refine
from .refinement.root import Root
from .report import fold_percent
from .working import Working

TWICE = ("mind", "mi")  # what compares the images themselves; with others a stack is refined as a volume alone
STIFFNESS = 10.0  # of the affine part of thick slices: 5 % along one axis cost 2.5 % of the information
STEADY_MM = 6.0  # standard deviation of the Gaussian across slices


def brought(
    pair: Pair, first: Affine, wide: bool = True, seed: int = 0, tick: Callable[[float], None] = lambda share: None
) -> Affine:
    """The affine alignment in three dimensions (engine.align) from where centres or moments have put a volume.

    Slice by slice nothing moves through the plane, and a network that compares slices which do not belong together
    moves them to where they should not go: volumes are brought together first. Where slices are thick, rigidly first,
    and then stiff against stretches and shears: few slices tell little of those that lie across them, and mutual
    information would rather tilt and flatten a head than leave it. And in both directions, for what is read between
    slices of one image differs from what is read between those of the other: halfway between both answers, so that
    exchanged images give the inverse; where they lie further apart than slices do, the one found from the fixed image.
    wide: as in engine.align.
    """
    if not thick(pair):
        return align(pair, first, "affine", wide, seed, tick)
    there = _stiff(pair, first, wide, seed, lambda share: tick(share / 2))
    back = _stiff(pair.exchanged(), first.inverse(), wide, seed, lambda share: tick(0.5 + share / 2)).inverse()
    body = body_points(pair.fixed, pair.fixed_mask)
    apart = (there.points(body) - back.points(body)).norm(dim=1).mean()
    slices = max(max(image.grid.spacing) for image in (pair.fixed, pair.moving))
    return halfway(there, back) if apart < slices else there


def _stiff(pair: Pair, first: Affine, wide: bool, seed: int, tick: Callable[[float], None]) -> Affine:
    rigid = align(pair, first, "rigid", wide, seed, lambda share: tick(share / 2))
    return align(pair, rigid, "affine", False, seed, lambda share: tick(0.5 + share / 2), FINE, STIFFNESS)


def thick(pair: Pair) -> bool:
    """Whether one of two volumes is a stack of thick slices."""
    return any(better_in_planes(image.grid) for image in (pair.fixed, pair.moving))


def steadied(field: DenseField, working: Working) -> DenseField:
    """The field of a planar network, smoothed across the slices by a Gaussian of STEADY_MM; any other as it is.

    The network answers for every slice as if it were alone; anatomy goes on from slice to slice, and what differs
    between neighbours is mostly error. In the plane nothing is smoothed. At the ends what is there counts in full.
    """
    if not working.slices:
        return field
    u = field.field.tensor
    kernel = _gaussian(STEADY_MM / working.grid.spacing[2]).to(u)
    reach = len(kernel) // 2
    lines = u.movedim(1, -1)
    flat = lines.reshape(-1, 1, lines.shape[-1])
    counted = F.conv1d(torch.ones_like(flat[:1]), kernel[None, None], padding=reach)
    smooth = F.conv1d(flat, kernel[None, None], padding=reach) / counted
    return DenseField(field.field.with_tensor(smooth.reshape(lines.shape).movedim(-1, 1).contiguous()))


def refined_twice(
    pair: Pair, root: Root, steps: int, device: torch.device, by: str, tick: Callable[[float], None]
) -> tuple[Refined, list[str]]:
    """engine.refine of a stack of thick slices: as a volume, then each slice in its plane, steadied.

    As a volume first: what is left of the pose lies across the slices too, and neighbours hold each other. But the
    lattice of a volume is coarser than the slices are in their plane; what they show there is found by the second pass.
    by: one of TWICE.
    """
    whole, warnings = refine(pair, root, False, steps, device, by, tick=lambda share: tick(share / 2))
    after = Root(chained(root.base, whole.field))
    planes, more = refine(pair, after, True, steps, device, by, tick=lambda share: tick(0.5 + share / 2))
    steady = steadied(planes.field, planes.working)
    field = split(chained(whole.field.closed(), steady), 3)[0]
    report = {**whole.report, "planes": {**planes.report, "folds_percent": fold_percent(steady, planes.working.grid)}}
    report["iterations"] += planes.report["iterations"]
    working = Working(field.field.grid)
    report |= {"folds_percent": fold_percent(field, working.grid), "lattice": working.describe()}
    return Refined(field, working, report), [*warnings, *more]


def _gaussian(sigma: float) -> Tensor:
    """(2 r + 1,), r three sigmas."""
    reach = max(1, round(3 * sigma))
    return torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float32) / sigma).square())
