"""What every registration method offers the engine."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class MethodOutput:
    """displacement: (N, D, *shape), voxels of the working lattice, components ordered I, J(, K): where each fixed voxel
    lies in the moving image. translated: (N, 1, *shape), the moving image in the fixed's modality, not yet warped, or
    None.
    """

    displacement: Tensor
    translated: Tensor | None = None


class Method(nn.Module):
    """A network (or several) that registers pairs lying on one lattice.

    Called with fixed and moving, each (N, 1, *shape), intensities in [0, 1] (engine.intensity), every length of
    `shape` a multiple of `multiple`. `dimension` 2 takes N slices at once, 3 volumes. Must not keep anything from one
    call to the next. locating: says of one image where it lies rather than how a pair differs (methods.build sets it).
    """

    dimension: int
    multiple: int = 16
    locating: bool = False

    def rough(self, fixed: Tensor, moving: Tensor) -> MethodOutput:
        """A field good enough to be refined, in less time where the method knows one."""
        return self(fixed, moving)

    def prepared(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> dict:
        """Keyword arguments of `forward` that are found once for all slices of a pair, before they go in batches.
        translate: as forward's."""
        return {}

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        raise TypeError(f"{type(self).__name__} must define forward()")
