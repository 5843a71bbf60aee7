"""How far the making of a translated image leaves geometry alone, for any method that renders one."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Grid
from ..training.field_terms import HEAD
from ..training.preservation import commutation, edge_distance
from .warps import WarpRanges, known_warp

UNSEEN = WarpRanges(shift_mm=6.0, rotation_deg=10.0, scale=0.06, peak_mm=8.0, smooth_mm=16.0)
SEED = 70_001  # apart from those of any pair


def geometry_kept(method, fixed: Tensor, moving: Tensor, grid: Grid, number: int) -> dict[str, float]:
    """{"edges_mm", "commutation"} of T: moving slice to the one rendered beside `fixed`, both (1, 1, *grid.shape).

    edges_mm: mean distance from the edges of T(a) to the nearest edge of a. commutation: |T(a o phi) - T(a) o phi|
    under a warp phi of its own for each `number`; left out where the method takes a o phi for the other modality.
    """
    rendered: list[Tensor | None] = []

    def render(image: Tensor) -> Tensor:
        rendered.append(method(fixed, image, translate=True).translated)
        return image if rendered[-1] is None else rendered[-1].float()

    warp = known_warp(grid, UNSEEN, SEED + number).displacement(grid)
    phi = torch.einsum("ir,r...->i...", grid.inverse_matrix[:-1, :-1].float(), warp.float())[None].to(moving)
    found = commutation(render, moving, phi)
    if rendered[1] is None:
        return {}
    a, b = (image[0, 0].float().cpu() for image in (moving, rendered[1]))
    kept = {"edges_mm": edge_distance(a, b, a > HEAD) * grid.spacing[0]}
    return kept | ({} if rendered[0] is None else {"commutation": found})
