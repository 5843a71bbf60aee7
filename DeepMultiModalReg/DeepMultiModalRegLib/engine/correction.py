"""Correction: what a start and a network have found, made straight before it is refined: the affine part that fits."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Affine
from .network import Pair
from .refinement.affine import nearest_affine
from .refinement.inputs import seen_pair, weights
from .refinement.levels import MEASURES, Levels
from .refinement.root import Root
from .working import Working, working_lattice

FINENESS = 24  # voxels to the body's radius: 2.5 to 3 mm in an adult's head
POOL = 2  # features are averaged over so many of them a side
FACTORS = (2, 1)  # and so many times coarser the images are, first and then


def corrected(pair: Pair, root: Root, body: Tensor) -> Root:
    """The root whose affine base agrees best by MIND-SSC, on lattices of about 10 and 5 mm in a head.

    Gauss and Newton's steps (refinement.affine) from the base or from the start before it, whichever agrees better. A
    network's field is wild where it knows nothing, and then so is the affine fitted to it; and the centres of mass are
    far apart where one image shows more of the neck. The steps correct 10 mm and 10 degrees in a tenth of a second.
    pair: of volumes. A base with a field of its own, which somebody has given, stays as it is.
    """
    if not isinstance(root.base, Affine):
        return root
    radius = float((body - body.mean(0)).square().sum(1).mean().sqrt())
    working, _ = working_lattice(pair.fixed.grid, body, 3, radius / FINENESS, POOL * FACTORS[0])
    levels = _levels(pair, root.base, working)
    first = levels.objective(FACTORS[0], POOL)
    if root.before is not None:
        start = root.before.inverse()
        other = _levels(pair, root.base @ start, working)
        second = other.objective(FACTORS[0], POOL)
        if _energy(second) < _energy(first):
            root, levels, first = root.moved(start), other, second
    correction = Affine.identity(3)
    for factor in FACTORS:
        objective = first if factor == FACTORS[0] else levels.objective(factor, POOL)
        to_mm = Affine(working.coarser(factor * POOL, 1).grid.matrix)
        matrix, _ = nearest_affine(objective, (to_mm.inverse() @ correction @ to_mm).matrix)
        correction = to_mm @ Affine(matrix) @ to_mm.inverse()
    return root.moved(correction)


def _levels(pair: Pair, base: Affine, working: Working) -> Levels:
    levels = Levels(*seen_pair(pair, base, working, None, "cpu"), POOL, MEASURES["mind"])
    levels.weight, levels.counts = weights(pair, base, working.coarser(POOL, 1), "cpu")
    return levels


def _energy(objective) -> float:
    still = torch.zeros(1, 3, *objective.shape)
    return float(objective.around(still, model=False).energy)
