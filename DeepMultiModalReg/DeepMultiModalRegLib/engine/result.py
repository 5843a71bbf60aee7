"""Result: what a registration gives."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import Image, Transform


@dataclass(frozen=True)
class Result:
    """transform: fixed points to moving points, LPS mm: Composite(dense, affine) or Affine.
    warped: the moving image resampled once with `transform` on the fixed image's lattice, float32.
    report: JSON-able, see engine.report. inverse: moving points to fixed points, on request.
    translated: the moving image in the fixed's modality, warped on the fixed's lattice, on request and where the
    model has one.
    """

    transform: Transform
    warped: Image
    report: dict
    inverse: Transform | None = None
    translated: Image | None = None
