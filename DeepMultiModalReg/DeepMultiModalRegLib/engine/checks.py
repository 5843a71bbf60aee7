"""Checks: what an image must be before anything is computed from it."""

from __future__ import annotations

import torch

from ..core import Image, InputError

SMALLEST = 4  # voxels along at least two axes: less shows no shape to register
LARGEST = 1e12  # intensity: sums of squares over a volume stay far within float32


def check_image(image: Image, role: str) -> None:
    """Raises InputError when `image` (named `role`: fixed, moving) cannot be registered: wrong type, several channels,
    too small, not finite, constant."""
    if not isinstance(image, Image):
        raise InputError(f"The {role} image must be an Image (core.Image), not {type(image).__name__}.")
    if image.channels != 1:
        raise InputError(
            f"The {role} image has {image.channels} values per voxel (colour, vector or time); "
            "extract one channel or its brightness and give that."
        )
    voxels = image.tensor
    if voxels.is_complex():
        raise InputError(f"The {role} image holds complex numbers; give its magnitude.")
    if sorted(image.grid.size)[-2] < SMALLEST:
        size = " x ".join(map(str, image.grid.size))
        raise InputError(f"The {role} image is too small to register ({size} voxels); choose a whole image.")
    if voxels.is_floating_point():
        bad = int((~torch.isfinite(voxels.float())).sum())
        if bad:
            raise InputError(
                f"The {role} image holds {bad} voxels that are not finite numbers (NaN or infinite); "
                "replace them, by 0 for example, and try again."
            )
    low, high = voxels.aminmax()
    if max(abs(low.item()), abs(high.item())) > LARGEST:
        raise InputError(
            f"The {role} image holds values from {low.item():g} to {high.item():g}, too large to compute with; "
            "rescale its intensities, or replace what marks the outside."
        )
    if low == high:
        raise InputError(
            f"The {role} image is constant (every voxel is {low.item():g}): there is nothing to register; "
            "check that the right file or volume was chosen."
        )


def check_pair(fixed: Image, moving: Image) -> None:
    """Raises InputError when the two images cannot be registered with each other."""
    check_image(fixed, "fixed")
    check_image(moving, "moving")
    if fixed.grid.dimension != moving.grid.dimension:
        raise InputError(
            f"The fixed image is {fixed.grid.dimension}D and the moving image {moving.grid.dimension}D; "
            "both must be volumes or both single images (cut the slice out of the volume first)."
        )
