"""NeMAR: registration trained by a translator that commutes with warping (Arar et al., CVPR 2020).

One translator T leads from the first modality to the second; phi = R(a, b) warps. T(a o phi) and T(a) o phi must both
equal b, so that T learns grey levels and leaves geometry to R.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..losses.mind import mind
from ..networks.affine_field import affine_part
from ..networks.confidence import Confidence
from ..networks.pair_sorter import PairSorter
from ..networks.planewise import Planewise
from ..networks.residual import ResidualTranslator
from ..networks.unet import INTERPOLATION
from ..networks.warp import enlarge, follow, halve, warp
from .base import Method, MethodOutput
from .matching import FieldNetwork
from .modality import judged, moving_is_second

KINDS = ("affine", "deformable", "both")
HEAD = 0.02  # grey level above which a voxel counts as head


class Nemar(Method):
    """T and R in 2D or 3D. R sees both images as they are; T is needed to train it, and to render. A small network says
    which image is of the modality that T starts from (the paper is told).

    registration: "affine" is the affine part of R's field, "deformable" the field; "both" is the deformable field of
    what the affine part leaves. looks: how often R is asked for the affine part, each time of what is left. confidence:
    channels of a network that weighs the field for its affine part (networks.confidence), 0 for none. width, blocks: of
    the translator (the paper: 64 and 9). planewise: in 3D, a 2D translator on slices of three planes. levels, last,
    steps: of methods.matching.FieldNetwork.
    """

    def __init__(
        self,
        dimension: int,
        levels: list[dict],
        last: dict | None = None,
        steps: int = 6,
        width: int = 64,
        blocks: int = 9,
        planewise: bool = False,
        registration: str = "deformable",
        looks: int = 1,
        confidence: int = 0,
    ) -> None:
        super().__init__()
        if registration not in KINDS:
            raise TypeError(f"registration is '{registration}', not one of {', '.join(KINDS)}")
        self.dimension, self.kind, self.looks = dimension, registration, looks
        translator = ResidualTranslator(2 if planewise else dimension, width, blocks)
        self.translator = Planewise(translator) if planewise else translator
        self.sorter = PairSorter()
        self.registration = FieldNetwork(dimension, levels, None, steps, last)
        self.confidence = Confidence(dimension, confidence) if confidence else None
        self.multiple = max(4, self.registration.multiple)

    @property
    def affine(self) -> bool:
        """Whether every field is affine: the engine then gives an affine transform."""
        return self.kind == "affine"

    @torch.no_grad()
    def prepared(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> dict:
        """One answer for all slices: those that show most give it. Only T asks for it."""
        if fixed.shape[0] == 1 or not translate:
            return {}
        return {"second": judged(self.sorter, self.registration, fixed, moving)}

    def forward(
        self, fixed: Tensor, moving: Tensor, translate: bool = False, second: bool | None = None
    ) -> MethodOutput:
        """As Method.forward. second: whether the moving image is of the second modality, which T does not start from,
        so that nothing is rendered; found where not given."""
        u = self.displacement(fixed, moving)
        rendered = None
        if translate and second is None:
            second = moving_is_second(self.sorter, fixed, warp(moving, u))
        if translate and not second:
            rendered = self.translator(moving)
        return MethodOutput(u, rendered)

    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """phi = R(fixed, moving): (N, D, *shape) voxels."""
        return self.ways(fixed, moving, (False,))[0]

    def ways(self, fixed: Tensor, moving: Tensor, inverse: tuple[bool, ...] = (False, True)) -> list[Tensor]:
        """phi and its inverse: for each of `inverse`, whether that is wanted."""
        shape = fixed.shape[2:]
        if self.kind == "deformable":
            return [enlarge(u, shape) for u in self.registration.coarse_ways(fixed, moving, inverse)]
        coarse = self.registration.coarse(fixed, moving)
        u, weight = enlarge(coarse, shape), self.trusted(fixed, moving, coarse)
        for _ in range(1, self.looks):
            affine = affine_part(u, weight)
            seen = warp(moving, affine)
            coarse = self.registration.coarse(fixed, seen)
            u, weight = follow(affine, enlarge(coarse, shape)), self.trusted(fixed, seen, coarse)
        if self.kind == "affine":
            return [affine_part(u, weight, back) for back in inverse]
        affine = affine_part(u, weight)
        rests = self.registration.coarse_ways(fixed, warp(moving, affine), inverse)
        both = zip((enlarge(rest, shape) for rest in rests), inverse, strict=True)
        return [follow(rest, affine_part(u, weight, True)) if back else follow(affine, rest) for rest, back in both]

    def trusted(self, fixed: Tensor, moving: Tensor, coarse: Tensor) -> Tensor:
        """(N, 1, *shape) weights of the field `coarse` between both images: the head, where no network says more."""
        head = (fixed > HEAD).float()
        if self.confidence is None:
            return head
        small, warped = halve(fixed), warp(halve(moving), coarse)
        with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
            off = (mind(small.float()) - mind(warped.float())).abs().mean(1, keepdim=True)
        weight = self.confidence([small, warped, off], coarse)
        return head * nn.functional.interpolate(weight, size=fixed.shape[2:], mode=INTERPOLATION[self.dimension])
