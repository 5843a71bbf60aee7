"""PixelInfo: the number type of an image's file, so that what is written can have it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError

# torch computes with few unsigned types: the others are read into the next type that holds their values.
_IN_MEMORY = {"uint16": "int32", "uint32": "int64", "uint64": "float64", "float16": "float32"}
_SLAB = 1 << 20  # numbers converted at once


@dataclass(frozen=True)
class PixelInfo:
    """dtype: NumPy's name of the pixel type in the file, such as "int16" or "float32"."""

    dtype: str

    def __post_init__(self) -> None:
        if np.dtype(self.dtype).kind not in "iuf":
            raise InputError(f"Pixels of type {self.dtype} are no plain numbers; convert the image to a scalar one.")

    @property
    def in_memory(self) -> str:
        """NumPy's name of the type that holds these pixels as a torch tensor."""
        return _IN_MEMORY.get(self.dtype, self.dtype)

    def convert(self, array: np.ndarray) -> np.ndarray:
        """array in this pixel type: whole-number types are rounded (half to even) and clamped; NaN becomes 0."""
        wanted = np.dtype(self.dtype)
        if array.dtype == wanted:
            return array
        if wanted.kind == "f":
            return array.astype(wanted)
        if array.size > _SLAB and array.ndim > 1:  # in parts: the way through doubles takes many times the voxels
            out = np.empty(array.shape, wanted)
            whole, flat = out.reshape(-1), array.reshape(-1)
            for first in range(0, flat.size, _SLAB):
                whole[first : first + _SLAB] = self.convert(flat[first : first + _SLAB])
            return out
        if array.dtype.kind == "f":
            array = np.nan_to_num(np.rint(array.astype(np.float64)), nan=0.0)
        limits = np.iinfo(wanted)
        clamped = np.clip(array, limits.min, limits.max)
        if clamped.dtype.kind == "f" and limits.max > 2**53:
            # the largest 64-bit whole numbers have no exact double: the limit itself would wrap around
            out = np.where(clamped >= float(limits.max), limits.max, 0).astype(wanted)
            inside = clamped < float(limits.max)
            out[inside] = clamped[inside].astype(wanted)
            return out
        return clamped.astype(wanted)
