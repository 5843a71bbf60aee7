"""INNReg: an invertible translator and a registration network (Guo et al., ECCV 2024).

One translator T leads from the first modality to the second and its exact inverse back, so each image can be seen in
the other's modality whichever of both is the fixed one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.invertible import InvertibleTranslator
from ..networks.pair_sorter import PairSorter
from ..networks.planewise import Planewise
from ..networks.residual import ResidualTranslator
from ..networks.warp import enlarge, warp
from .base import Method, MethodOutput
from .matching import FieldNetwork, rendered_velocity
from .modality import judged, moving_is_second, of_each


class Innreg(Method):
    """T and R in 2D or 3D. Every image is of one of two modalities; which of the two a small network says (the paper is
    told).

    blocks, growth, side, frugal: of the translator (networks.invertible). planewise: in 3D, the 2D translator applied
    to axial, coronal and sagittal slices, and the mean of the three. levels, last, fine, steps: of the registration
    network (methods.matching.FieldNetwork). translator: "invertible" as published, or one of its ablations: "residual",
    two residual translators that share nothing, or "none".
    """

    def __init__(
        self,
        dimension: int,
        levels: list[dict],
        fine: dict,
        last: dict | None = None,
        steps: int = 6,
        blocks: int = 8,
        growth: int = 32,
        side: int = 7,
        frugal: bool = False,
        planewise: bool = False,
        translator: str = "invertible",
    ) -> None:
        super().__init__()
        if translator not in ("invertible", "residual", "none"):
            raise TypeError(f"translator is '{translator}', not invertible, residual or none")
        self.dimension = dimension
        inner = 2 if planewise else dimension
        self.translator = None
        if translator == "invertible":
            self.translator = InvertibleTranslator(inner, blocks, growth, side, frugal)
        elif translator == "residual":
            self.translator = TwoResidual(inner, blocks, growth)
        if planewise and self.translator is not None:
            self.translator = Planewise(self.translator)
        self.sorter = PairSorter()
        self.registration = FieldNetwork(dimension, levels, fine, steps, last)
        self.multiple = self.registration.multiple

    @torch.no_grad()
    def prepared(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> dict:
        """One answer for all slices: those that show most give it."""
        if fixed.shape[0] == 1 or self.translator is None:  # forward finds it as it goes, or need not
            return {}
        return {"backward": judged(self.sorter, self.registration, fixed, moving)}

    def forward(
        self, fixed: Tensor, moving: Tensor, translate: bool = False, stages: int = 2, backward: bool | None = None
    ) -> MethodOutput:
        """As Method.forward; `stages` 1 stops at the coarse field, before anything is translated. backward: whether
        the moving image is of the second modality, found where not given."""
        u0 = self.registration.coarse(fixed, moving)
        full = enlarge(u0, fixed.shape[2:])
        if stages == 1:
            return MethodOutput(full)
        aligned = warp(moving, full)
        if backward is None:
            backward = self.translator is not None and moving_is_second(self.sorter, fixed, aligned)
        rendered = self.translation(moving, of_each(backward, moving))
        velocity = rendered_velocity(self.registration.fine, fixed, aligned, warp(rendered, full))
        whole = self.registration.finished(u0, velocity, fixed.shape[2:])
        return MethodOutput(whole, rendered if translate and self.translator is not None else None)

    def rough(self, fixed: Tensor, moving: Tensor) -> MethodOutput:
        """The levels alone, without any translation: what is left a refinement finds anyway."""
        return self(fixed, moving, stages=1)

    def translation(self, image: Tensor, backward: Tensor) -> Tensor:
        """(N, 1, *shape) in the other modality: by T, or by its inverse where `backward` (N,) says so."""
        if self.translator is None:
            return image
        if bool(backward.all()) or not bool(backward.any()):
            return self.translator(image, bool(backward.all()))
        out = torch.empty_like(image, dtype=torch.float32)
        for inverse in (False, True):
            where = (backward == inverse).nonzero()[:, 0]
            out = out.index_copy(0, where, self.translator(image[where], inverse))
        return out


class TwoResidual(torch.nn.Module):
    """The ablation's translator: one residual network for each way, of as many convolutions as the invertible one's
    blocks, bound to each other by nothing."""

    def __init__(self, dimension: int, blocks: int, growth: int) -> None:
        super().__init__()
        self.there = ResidualTranslator(dimension, 2 * growth, blocks)
        self.back = ResidualTranslator(dimension, 2 * growth, blocks)

    def forward(self, image: Tensor, inverse: bool = False) -> Tensor:
        return (self.back if inverse else self.there)(image)
