"""Pair: two pictures, from what was read to what is written: the same for one call and for a case of a list."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from ..core import Image, InputError, Transform
from ..engine import register
from ..engine.registration import STORED
from ..engine.warping import warp
from ..io import Picture, PixelInfo


@dataclass(frozen=True)
class Written:
    """What one pair gave: transforms, images with the number types of their files, the report."""

    transform: Transform
    inverse: Transform | None
    volume: Image
    volume_pixel: PixelInfo
    translated: Image | None
    translated_pixel: PixelInfo
    labels: Image | None
    labels_pixel: PixelInfo | None
    report: dict


@dataclass(frozen=True)
class Pair:
    """options: of the command `register`, by their names there (of outputs only whether they are wanted). start: a name
    or a Transform. masks: fixed, moving. labels: drawn on the moving image."""

    options: argparse.Namespace
    start: str | Transform
    fixed: Picture
    moving: Picture
    masks: list[Image | None]
    labels: Picture | None

    def registered(self, progress: Callable | None, cancelled: Callable[[], bool]) -> Written:
        """Registers the pair. Raises what engine.register does. Where the model renders no translated image there is
        none, and a warning in the report."""
        options, fixed, moving = self.options, self.fixed, self.moving
        wants_translated, wants_volume = options.output_translated is not None, options.output_volume is not None
        if wants_translated and getattr(options, "translated_style", "fixed") == STORED:
            wants_translated = STORED
        result = register(
            fixed.image, moving.image, options.model, self.start, options.refine, options.device, options.seed,
            *self.masks, progress=progress, cancelled=cancelled, fill=options.fill,
            translated=wants_translated, inverse=options.output_inverse is not None, refine_by=options.refine_by,
        )  # fmt: skip
        nearest = options.interpolation == "nearest" or (options.interpolation == "auto" and moving.labels)
        notes = [*fixed.notes, *moving.notes]
        if nearest and wants_volume:
            reason = "as asked" if options.interpolation == "nearest" else "it is a label map"
            notes.append(f"The output volume was resampled by the nearest neighbour: {reason}.")
        volume = result.warped
        if wants_volume and (nearest or moving.whole.channels > 1):
            fill = options.fill or 0.0
            volume = self.carried(moving.whole, result.transform, fill, "nearest" if nearest else "linear")
        labels = None if self.labels is None else self.carried(self.labels.whole, result.transform, 0.0, "nearest")
        report = {**result.report, "notes": notes}
        report["parameters"] = {**report["parameters"], "interpolation": "nearest" if nearest else "linear"}
        return Written(
            result.transform, result.inverse, volume, moving.pixel, result.translated, fixed.pixel, labels,
            None if self.labels is None else self.labels.pixel, report,
        )  # fmt: skip

    def carried(self, image: Image, transform: Transform, fill: float, mode: str) -> Image:
        """An image that lies in the moving image's space, on the fixed lattice."""
        if image.grid.dimension != self.fixed.image.grid.dimension:
            raise InputError("The labels and the images must all be volumes or all be single images (2D).")
        return warp(image, self.fixed.image.grid, transform, fill, lambda _share: None, mode)
