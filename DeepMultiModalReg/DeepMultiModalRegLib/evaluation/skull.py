"""Skull: where its wall begins and ends in axial slices of CT and of MR, along rays from the middle of the head.

Nothing is compared between the two images here, no grey level and no gradient: what is found can judge those who do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, Grid, Image, InputError
from ..engine.foreground import foreground

ANGLES = 120
STEP_MM, REACH_MM = 0.5, 115.0
FIRST_MM = 25.0  # nothing nearer to the middle is bone of the vault
LASTING_MM = 3.0  # an edge is one where the other side goes on for so long
BRAIN_MM = 55.0  # around the middle: mostly brain
BONE = 0.75  # share of the way from brain to white, in CT printed in a window of the brain
DARK = 0.4  # of the brain's median, below which MR shows bone
SCALP = 0.25  # of the same, which the scalp must reach
THINNEST_MM, THICKEST_MM = 4.0, 18.0
ASTRAY_MM = 4.0  # from the median of the rays near by: not the wall
NEAR_BY = 4  # rays on either side


@dataclass(frozen=True)
class Wall:
    """inner, outer: (K, ANGLES) mm from the middle, in the plane of each slice, NaN where nothing was found; grid: of
    the stack; middle: index (I, J) that the rays start from."""

    inner: Tensor
    outer: Tensor
    grid: Grid
    middle: tuple[float, float]

    def surface(self, name: str) -> Tensor:
        """(K, ANGLES) mm: inner | outer | middle. Bone printed white blooms by as much inwards as outwards: the middle
        of the wall stays."""
        if name != "middle":
            return getattr(self, name)
        thick = self.outer - self.inner
        return torch.where(thick >= THINNEST_MM, (self.inner + self.outer) / 2, torch.nan)

    @property
    def frame(self) -> Affine:
        """From mm along the stack's axes, about the rays' start in its middle slice, to LPS mm."""
        spacing = torch.tensor(self.grid.spacing, dtype=torch.float64)
        axes = self.grid.matrix[:-1, :-1] / spacing
        index = torch.tensor([*self.middle, (self.grid.size[2] - 1) / 2], dtype=torch.float64)
        return Affine.from_parts(axes, self.grid.matrix[:-1, :-1] @ index + self.grid.matrix[:-1, -1])


def angles() -> Tensor:
    """(ANGLES,) radians from the axis I towards J."""
    return torch.arange(ANGLES, dtype=torch.float64) * (2 * math.pi / ANGLES)


def middle_of(image: Image) -> tuple[float, float]:
    """Index (I, J) of the middle of the head in the slices half way up. Raises InputError where there is none."""
    third = image.grid.size[2] // 3
    shown = foreground(image)[third : 2 * third + 1].any(0)
    if not shown.any():
        raise InputError("The stack shows no head; give axial slices of one.")
    rows, columns = torch.nonzero(shown.any(1))[:, 0], torch.nonzero(shown.any(0))[:, 0]
    return float(columns[0] + columns[-1]) / 2, float(rows[0] + rows[-1]) / 2


def ct_wall(image: Image, middle: tuple[float, float]) -> Wall:
    """Of CT in a window of the brain: bone is white, skin as good as black."""
    rays = _rays(image, middle)
    white = float(image.tensor.max())
    inside = rays[:, :, : int(BRAIN_MM / STEP_MM)]
    level = float(inside[(inside > 0.08 * white) & (inside < 0.92 * white)].median())
    level += BONE * (white - level)
    inner = _first(rays, level, rising=True)
    place = torch.arange(rays.shape[-1]) * STEP_MM
    ends = (rays[..., :-1] >= level) & (rays[..., 1:] < level) & (place[:-1] > inner[..., None] + THINNEST_MM / 2)
    at = ends.int().argmax(-1)
    outer = torch.where(ends.any(-1), _between(rays, at, level), torch.nan)
    outer = torch.where(outer - inner < THICKEST_MM, outer, torch.nan)
    return Wall(_clean(inner), _clean(outer), image.grid, middle)


def mr_wall(image: Image, middle: tuple[float, float]) -> Wall:
    """Of MR that shows brain, fluid and scalp bright and bone dark."""
    rays = _rays(image, middle)
    brain = float(rays[:, :, : int(BRAIN_MM / STEP_MM)].flatten(1).median(1).values.median())
    inner = _first(rays, DARK * brain, rising=False)
    place = torch.arange(rays.shape[-1]) * STEP_MM
    beyond = place - inner[..., None]
    seen = torch.where((beyond > 2) & (beyond < THICKEST_MM + 2), rays, -1.0)
    top, at = seen.max(-1)
    bottom = torch.where((beyond > 2) & (place <= at[..., None] * STEP_MM), rays, math.inf).amin(-1)
    level = (top + bottom) / 2
    below = (beyond > 2) & (place < at[..., None] * STEP_MM) & (rays < level[..., None])
    last = rays.shape[-1] - 1 - below.flip(-1).int().argmax(-1)
    outer = torch.where(below.any(-1) & (top >= SCALP * brain), _between(rays, last, level), torch.nan)
    return Wall(_clean(inner), _clean(outer), image.grid, middle)


def _rays(image: Image, middle: tuple[float, float]) -> Tensor:
    """(K, ANGLES, N): grey levels every STEP_MM."""
    across, down = image.grid.spacing[:2]
    place = torch.arange(0, REACH_MM, STEP_MM, dtype=torch.float64)
    turn = angles()[:, None]
    x = middle[0] + turn.cos() * place / across
    y = middle[1] + turn.sin() * place / down
    normal = torch.stack([(2 * x + 1) / image.grid.size[0] - 1, (2 * y + 1) / image.grid.size[1] - 1], -1).float()
    slices = image.tensor[0].float()[:, None]
    read = torch.nn.functional.grid_sample(
        slices, normal.expand(len(slices), -1, -1, -1), padding_mode="border", align_corners=False
    )
    return read[:, 0]


def _first(rays: Tensor, level: float, rising: bool) -> Tensor:
    """(K, ANGLES) mm of the first edge at `level` beyond which it stays on the other side for LASTING_MM."""
    other = (rays > level) if rising else (rays < level)
    count = int(LASTING_MM / STEP_MM)
    lasting = other.unfold(-1, count, 1).all(-1)
    lasting[..., : int(FIRST_MM / STEP_MM)] = False
    at = lasting.int().argmax(-1)
    found = lasting.any(-1) & ~other.gather(-1, (at - 1).clamp(min=0)[..., None])[..., 0]
    return torch.where(found, _between(rays, (at - 1).clamp(min=0), level), torch.nan)


def _between(rays: Tensor, at: Tensor, level: Tensor | float) -> Tensor:
    """mm where the ray passes `level` between its samples `at` and the next."""
    at = at.clamp(max=rays.shape[-1] - 2)
    here, there = (rays.gather(-1, (at + n)[..., None])[..., 0] for n in (0, 1))
    share = ((level - here) / (there - here)).nan_to_num(0.5).clamp(0, 1)
    return ((at + share) * STEP_MM).double()


def _clean(radius: Tensor) -> Tensor:
    """Without what lies far from its neighbours in the slice."""
    around = torch.stack([radius.roll(n, 1) for n in range(-NEAR_BY, NEAR_BY + 1)])
    return torch.where((radius - around.nanmedian(0).values).abs() < ASTRAY_MM, radius, torch.nan)
