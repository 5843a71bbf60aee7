"""The hierarchical method: coarse field, additive mask, fine field.

Dai, Ma, Cai, Wen: three networks trained one after the other, each frozen when done. G1(F, M) gives a first field, G2
a mask
that turns the moving image into the fixed's modality, G3(F, M, Mt) a second field; the whole is phi = phi0 o phi1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.translator import AdditiveMask
from ..networks.unet import UNet
from ..networks.warp import enlarge, follow, halve, integrate, warp
from .base import Method, MethodOutput


class Hierarchical(Method):
    """G1, G2, G3 in 2D or 3D. Fields come from stationary velocities on a lattice of half the resolution.

    widths: channels of both U-Nets' levels (finest first); mask_width, mask_code: size of G2; steps: squarings;
    coarse_widths: G1 sees both images at half the resolution, with these widths, and its velocity lies on a quarter:
    in 3D a tenth of the work, and the sizes of motion that it is there for.
    G3 sees the moving and the translated image already warped by phi0, so that it looks for what is left; the paper
    feeds them unwarped, and then G3 has to find phi0 again.
    """

    def __init__(
        self,
        dimension: int,
        widths: tuple[int, ...] = (32, 64, 96, 96),
        mask_width: int = 16,
        mask_code: int = 64,
        steps: int = 7,
        coarse_widths: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.coarse_first = coarse_widths is not None
        self.multiple = 2 ** max(len(widths), 1 + len(coarse_widths or ()))
        self.steps = steps
        if coarse_widths is None:
            self.g1 = UNet(dimension, 2, dimension, tuple(widths))
        else:
            self.g1 = UNet(dimension, 2, dimension, tuple(coarse_widths))
        self.g2 = AdditiveMask(dimension, mask_width, mask_code)
        self.g3 = UNet(dimension, 3, dimension, tuple(widths))

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False, stages: int = 3) -> MethodOutput:
        """As Method.forward; `stages` 1 stops after G1 (the published method's VoxelMorph baseline)."""
        u0 = self.coarse_displacement(fixed, moving)
        full = enlarge(u0, fixed.shape[2:])
        if stages == 1:
            return MethodOutput(full)
        aligned = warp(moving, full)
        translated = self.translation(fixed, moving, aligned)
        u1 = integrate(self.fine_velocity(fixed, aligned, warp(translated, full)), self.steps)
        whole = enlarge(follow(u0, u1), fixed.shape[2:])
        return MethodOutput(whole, translated if translate else None)

    def coarse_displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """phi0: (N, D, *shape / 2), voxels of the half-resolution lattice."""
        if self.coarse_first:
            fixed, moving = halve(fixed), halve(moving)
            return enlarge(integrate(self.coarse_velocity(fixed, moving), self.steps), fixed.shape[2:])
        return integrate(self.coarse_velocity(fixed, moving), self.steps)

    def coarse_velocity(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """G1: (N, D, *shape / 2), voxels of a lattice of half the resolution of what it is given."""
        return self.g1(torch.cat([fixed, moving], 1)).float()

    def translation(self, fixed: Tensor, moving: Tensor, aligned: Tensor) -> Tensor:
        """G2: the moving image in the fixed's modality, M + Mask, unwarped."""
        return moving + self.g2(moving, fixed, aligned).float()

    def fine_velocity(self, fixed: Tensor, aligned: Tensor, translated: Tensor) -> Tensor:
        """G3: (N, D, *shape / 2), from the fixed and both renderings of the moving, warped by phi0."""
        return self.g3(torch.cat([fixed, aligned, translated], 1)).float()
