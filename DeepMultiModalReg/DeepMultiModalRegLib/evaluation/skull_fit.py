"""Skull fit: the affine transform that lays the skull's wall in one stack of slices on that in another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, InputError
from .skull import ANGLES, Wall, angles

STEPS = 40
ROUGH = 10  # steps with a wider tolerance
TOLERANCE = 6.0, 4.0  # times the spread of what is left: beyond counts nothing (Tukey's biweight), first and then
SMALLEST_MM = 0.7  # that spread is taken to be at least
STEEPEST = 1.0  # mm of radius per mm across the slices: a flatter vault is blurred by the slices' thickness
LEVER_MM = 70.0
ENOUGH = 100  # rays


@dataclass(frozen=True)
class Fitted:
    """affine: fixed LPS mm to moving LPS mm. residual_mm: weighted root mean square along the wall's normal; used:
    rays that count."""

    affine: Affine
    residual_mm: float
    used: int


def fitted_walls(fixed: Wall, moving: Wall, surface: str = "middle") -> Fitted:
    """The affine (12 freedoms) under which the fixed's wall lies on the moving's, by Gauss and Newton's steps.

    What is made small is the distance along the normal of the moving's surface, which between two slices is linear;
    rays that do not fit count less or nothing (Tukey's biweight). surface: see Wall.surface. Raises InputError where
    too little wall was found.
    """
    radius, table = fixed.surface(surface), moving.surface(surface)
    slices, rays = torch.nonzero(radius.isfinite(), as_tuple=True)
    if len(rays) < ENOUGH:
        raise InputError("Too little of the skull was found to fit; give axial slices of a whole head.")
    turn, r = angles()[rays], radius[slices, rays]
    height = (slices - (len(radius) - 1) / 2) * fixed.grid.spacing[2]
    points = torch.stack([r * turn.cos(), r * turn.sin(), height], 1)
    lever = torch.cat([points / LEVER_MM, torch.ones_like(points[:, :1])], 1)
    matrix = torch.eye(3, 4, dtype=torch.float64)
    for step in range(STEPS):
        off, normal, usable = _distance(table, moving.grid.spacing[2], points @ matrix[:, :3].T + matrix[:, 3])
        if int(usable.sum()) < ENOUGH:
            raise InputError("Too little of the skull was found to fit; give axial slices of a whole head.")
        spread = max(SMALLEST_MM, 1.4826 * float(off[usable].abs().median()))
        limit = spread * TOLERANCE[0 if step < ROUGH else 1]
        weight = torch.where(usable & (off.abs() < limit), (1 - (off / limit).square()).square(), 0.0)
        rows = (normal[:, :, None] * lever[:, None]).flatten(1)
        curvature = (rows * weight[:, None]).T @ rows + 1e-6 * torch.eye(12, dtype=torch.float64)
        change = torch.linalg.solve(curvature, -(rows * weight[:, None]).T @ off).reshape(3, 4)
        change[:, :3] /= LEVER_MM
        matrix = matrix + change
    residual = math.sqrt(float((weight * off.square()).sum() / weight.sum()))
    affine = moving.frame @ Affine.from_parts(matrix[:, :3], matrix[:, 3]) @ fixed.frame.inverse()
    return Fitted(affine, residual, int((weight > 0).sum()))


def _distance(table: Tensor, thickness: float, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """((N,), (N, 3), (N,)): signed mm from the surface, its slope by the point, and whether there is a surface.

    table: (K, ANGLES) mm; points: (N, 3) mm along the stack's axes about its middle."""
    rho = points[:, :2].norm(dim=1)
    place = (torch.atan2(points[:, 1], points[:, 0]) / (2 * math.pi) * ANGLES) % ANGLES
    floor = place.floor()
    left, share = floor.long() % ANGLES, place - floor
    right = (left + 1) % ANGLES
    height = points[:, 2] / thickness + (len(table) - 1) / 2
    inside = (height >= 0) & (height <= len(table) - 1)
    low = height.clamp(0, len(table) - 1.0001).floor().long()
    up = height.clamp(0, len(table) - 1.0001) - low
    below = table[low, left] * (1 - share) + table[low, right] * share
    above = table[low + 1, left] * (1 - share) + table[low + 1, right] * share
    radius = below * (1 - up) + above * up
    across = (above - below) / thickness
    around = (table[low, right] - table[low, left]) * (1 - up) + (table[low + 1, right] - table[low + 1, left]) * up
    around = around / (2 * math.pi / ANGLES) / rho  # mm of radius per mm along the circle
    cosine, sine = points[:, 0] / rho, points[:, 1] / rho
    slope = torch.stack([cosine + around * sine, sine - around * cosine, -across], 1)
    length = slope.norm(dim=1)
    usable = inside & radius.isfinite() & (across.abs() < STEEPEST)
    off = torch.where(usable, (rho - radius) / length, 0.0)
    return off, torch.where(usable[:, None], slope / length[:, None], 0.0), usable
