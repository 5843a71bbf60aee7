"""Pictures of edges: where those of an image lie, and where those of its translations do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..training.field_terms import HEAD
from ..training.preservation import edge_distance, edges
from . import pictures

ENLARGED = 4  # times
DOT = 2  # pixels of an edge's mark, in the middle of its enlarged pixel
SOURCE, OWN = (255, 60, 60), (60, 255, 60)  # red and green; yellow where both lie


@torch.no_grad()
def edge_sheet(slices: list[Tensor], translators: dict[str, Callable[[Tensor], Tensor]], path: Path) -> list[dict]:
    """Writes a PNG: a row a slice, the slice itself and then each translation of it, the slice's edges in red, the
    translation's in green and those in common yellow.

    slices: (1, 1, *shape) in [0, 1]. Returns for each slice and translator {"translator", "edges_px"}: the mean
    distance from the translation's edges to the nearest of the slice's (training.preservation).
    """
    rows, figures = [], []
    for source in slices:
        inside = source[0, 0] > HEAD
        own = edges(source[0, 0], inside)
        columns = [_drawn(source[0, 0], own, own)]
        for name, translate in translators.items():
            rendered = translate(source).float()[0, 0].clamp(0, 1)
            columns.append(_drawn(rendered, own, edges(rendered, inside)))
            figures.append({"translator": name, "edges_px": edge_distance(source[0, 0], rendered, inside)})
        rows.append(np.concatenate(columns, 1))
    pictures.write_png(np.ascontiguousarray(np.concatenate(rows, 0)), path)
    return figures


def _drawn(image: Tensor, source: Tensor, own: Tensor) -> np.ndarray:
    """(rows, columns, 3) uint8, enlarged, as bright as it may be; source, own: (M, 2) rows and columns of edges, drawn
    as small dots."""
    bright = max(float(image.float().flatten().quantile(0.995)), 1e-6)
    grey = ((image / bright).clamp(0, 1) * 255).byte().numpy()
    large = np.repeat(np.repeat(grey, ENLARGED, 0), ENLARGED, 1)
    picture = np.repeat(large[..., None], 3, -1)
    marked = [{tuple(point) for point in points.tolist()} for points in (source, own)]
    for row, column in marked[0] | marked[1]:
        kinds = [colour for colour, points in zip((SOURCE, OWN), marked, strict=True) if (row, column) in points]
        first = (ENLARGED - DOT) // 2
        low, left = row * ENLARGED + first, column * ENLARGED + first
        picture[low : low + DOT, left : left + DOT] = np.max(kinds, 0)
    return picture
