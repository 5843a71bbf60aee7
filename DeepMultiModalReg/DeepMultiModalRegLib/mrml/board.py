"""Checkerboard: two images in turn, square by square. NumPy alone. Slicer has no such mode: show it as a volume."""

from __future__ import annotations

import numpy as np


def shades(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey values from 0 to 255, float32, as a window from `low` to `high` shows them."""
    return np.clip((array.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255


def checkerboard(first: np.ndarray, second: np.ndarray, spacing, square_mm: float = 25.0) -> np.ndarray:
    """Squares of two grey images (K, J, I) in turn, uint8; `spacing` is I, J, K in mm."""
    parity = np.zeros(first.shape, dtype=np.int64)
    for axis, (n, step) in enumerate(zip(first.shape[::-1], spacing, strict=True)):
        square = np.floor((np.arange(n) - (n - 1) / 2) * step / square_mm).astype(np.int64)
        parity = parity + square.reshape(-1, *([1] * axis))
    return np.where(parity % 2 == 0, first, second).round().astype(np.uint8)
