"""Pictures: fixed, moving, warped, checkerboard and field of a case, side by side in a PNG."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from ..core import Grid, Image, Transform, reorient, resample
from ..engine.intensity import normalise
from ..io import write_text

SIDE = 224  # pixels of a panel
SQUARES = 8  # of the checkerboard, along a side
LINES = 14  # of the drawn lattice, along a side
PANELS = ("fixed", "moving at the start", "warped", "fixed and warped in squares", "lattice under the field")


def panels(fixed: Image, moving: Image, warped: Image, transform: Transform) -> np.ndarray:
    """(height, width, 3) uint8: the middle axial plane, or the 2D image itself; anterior up, right on the left."""
    plane = _plane(fixed)
    shown = [normalise(_on(image, plane)) for image in (fixed, moving, warped)]
    squares = _checkerboard(shown[0], shown[2])
    drawn = [*shown, squares, _lattice(plane, transform)]
    pictures = [np.repeat((p.numpy() * 255).astype(np.uint8)[..., None], 3, -1) for p in drawn]
    gap = np.full((SIDE, 4, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], 1)


def write_png(picture: np.ndarray, path: Path) -> None:
    """picture: (height, width, 3) uint8."""
    sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(path))


def write_page(title: str, tables: str, entries: list[tuple[str, str, Path]], path: Path) -> None:
    """A page with the tables (text) and the pictures: (case, method, PNG beside the page)."""
    parts = [
        "<!DOCTYPE html><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title>",
        "<style>body{font:14px sans-serif;margin:2em}pre{font-size:12px}img{max-width:100%}</style>",
        f"<h1>{html.escape(title)}</h1><pre>{html.escape(tables)}</pre>",
        f"<p>From left to right: {', '.join(PANELS)}.</p>",
    ]
    last = None
    for case, method, picture in entries:
        if case != last:
            parts.append(f"<h2>{html.escape(case)}</h2>")
            last = case
        parts.append(
            f"<h3>{html.escape(method)}</h3><img src='{html.escape(picture.name)}' alt='{html.escape(method)}'>"
        )
    write_text("\n".join(parts) + "\n", path)


def _plane(image: Image) -> Grid:
    """A square plane of SIDE x SIDE points through the image's middle, that holds it all."""
    grid = reorient(Image(torch.zeros(1, *image.grid.shape, dtype=torch.uint8), image.grid)).grid
    d = grid.dimension
    spacing = float(grid.extent[:2].max()) / SIDE
    thick = [1] if d == 3 else []
    axes = torch.tensor(grid.direction, dtype=torch.float64).reshape(d, d)
    half = torch.tensor([(SIDE - 1) / 2 * spacing] * 2 + [0.0] * (d - 2), dtype=torch.float64)
    origin = tuple((grid.centre - axes @ half).tolist())
    return Grid((SIDE, SIDE, *thick), (spacing, spacing, *([1.0] * (d - 2))), origin, grid.direction)


def _on(image: Image, plane: Grid) -> Tensor:
    return resample(image.with_tensor(image.tensor[:1]), plane).tensor.reshape(SIDE, SIDE)


def _checkerboard(a: Tensor, b: Tensor) -> Tensor:
    index = torch.arange(SIDE) * SQUARES // SIDE
    return torch.where((index[:, None] + index[None]) % 2 == 0, a, b)


def _lattice(plane: Grid, transform: Transform) -> Tensor:
    """Lines of constant moving-image coordinates, seen from the fixed image: where they crowd, tissue is squeezed."""
    moved = transform.points(plane.points(torch.float32))[..., :2].reshape(SIDE, SIDE, 2)
    period = plane.spacing[0] * SIDE / LINES
    phase = (moved / period - (moved / period).round()).abs() * period / plane.spacing[0]
    return (1.2 - phase.amin(-1)).clamp(0, 1)
