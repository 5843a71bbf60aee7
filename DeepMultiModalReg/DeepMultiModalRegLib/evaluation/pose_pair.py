"""A pair that lies aligned, put under poses, and how far an answer is from the truth."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..core import Affine, Image, InputError
from ..engine.body import lattice_points
from ..engine.foreground import background
from .cases import load_case
from .head import head_mask
from .pose_draw import posed_by_header, posed_by_resampling, respaced


class AlignedPair:
    """Two images of one person in one space, one of which is put under poses."""

    def __init__(
        self, described: dict, data: Path, swapped: bool, spacing: float, rigid: dict[str, list] | None = None
    ) -> None:
        """described: a case of a list; the truth between its images is the case's, else the 4x4 matrix that `rigid`
        holds by its name, else the identity. swapped: what the list calls moving is fixed. spacing: mm.

        Raises InputError for a pair with a truth that is no pose.
        """
        case = load_case(described, data)
        known = (rigid or {}).get(case.name)
        truth = Affine.identity(case.fixed.grid.dimension) if known is None else Affine(torch.tensor(known))
        truth = truth if case.truth is None else case.truth
        if not isinstance(truth, Affine):
            raise InputError(f"The case {case.name} has a deformation as its truth; name pairs that lie aligned.")
        modalities = case.modalities or ("fixed", "moving")
        fixed, self.moving = (case.moving, case.fixed) if swapped else (case.fixed, case.moving)
        self.aligned = truth.inverse() if swapped else truth
        self.modalities = modalities[::-1] if swapped else modalities
        self.name, self.spacing = case.name, spacing
        self.fixed = respaced(fixed, spacing)
        self.head = lattice_points(self.fixed.grid, head_mask(self.fixed))

    @cached_property
    def moving_head(self) -> Tensor:
        coarse = respaced(self.moving, self.spacing)
        return lattice_points(coarse.grid, head_mask(coarse))

    def posed(self, pose: Affine, posing: str) -> tuple[Image, Affine]:
        """The moving image under `pose` (moving LPS mm to posed LPS mm), and the truth from the fixed image to it."""
        if posing == "header":
            image = posed_by_header(respaced(self.moving, self.spacing), pose)
        else:
            fill = background(self.moving)
            image = posed_by_resampling(self.moving, self.moving_head, pose, self.spacing, fill)
        return image, pose @ self.aligned


def errors(found: Affine, truth: Affine, head: Tensor) -> dict:
    """Mean and largest mm between where `found` and `truth` send the fixed head's voxels (N, D), in the moving image;
    the angle between both, of the rotation in truth^-1 found; found's determinant, negative where it mirrors."""
    distance = (found.points(head) - truth.points(head)).norm(dim=-1)
    left, _, right = torch.linalg.svd((truth.inverse() @ found).linear)
    turn = left @ right
    d = len(turn)
    trace = float(turn.trace()) * float(torch.linalg.det(turn).sign())
    cosine = (trace - 1) / 2 if d == 3 else trace / 2
    return {
        "error_mm": float(distance.mean()),
        "error_max_mm": float(distance.max()),
        "angle_deg": math.degrees(math.acos(min(1.0, max(-1.0, cosine)))),
        "determinant": float(torch.linalg.det(found.linear)),
    }
