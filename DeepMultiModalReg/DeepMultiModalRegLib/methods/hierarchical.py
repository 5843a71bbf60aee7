"""The hierarchical method: coarse field, additive mask, fine field.

Dai, Ma, Cai, Wen: three networks trained one after the other, each frozen when done. G1(F, M) gives a first field, G2
a mask
that turns the moving image into the fixed's modality, G3(F, M, Mt) a second field; the whole is phi = phi0 o phi1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.pyramid import MatchingLevel
from ..networks.translator import AdditiveMask
from ..networks.unet import UNet
from ..networks.warp import enlarge, follow, halve, integrate, warp
from .base import Method, MethodOutput
from .matching import composed, last_velocity, level_velocities, rendered_velocity


class Hierarchical(Method):
    """G1, G2, G3 in 2D or 3D. Fields come from stationary velocities on coarser lattices.

    widths: channels of the U-Nets' levels (finest first); mask_width, mask_code: size of G2; steps: squarings.
    levels: G1 as published is a U-Net on both images. With levels it goes from coarse to fine instead, from half the
    working resolution: each level, coarsest first and twice as fine as the one before, is a
    networks.pyramid.MatchingLevel with these settings, on MIND-SSC features. In 3D that learns from a tenth of the
    pairs.
    last: one more level of G1, on features of the working resolution.
    fine: likewise for G3, one level at half the resolution on features of the working one: MIND-SSC of the moving image
    and the grey levels of the translated one.
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
        levels: list[dict] | None = None,
        last: dict | None = None,
        fine: dict | None = None,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.steps = steps
        if levels is None:
            self.g1 = UNet(dimension, 2, dimension, tuple(widths))
        else:
            self.g1 = nn.ModuleList(MatchingLevel(dimension, **level) for level in levels)
        self.pyramid = levels is not None
        deepest = max((len(level["widths"]) + len(levels) - i for i, level in enumerate(levels or ())), default=0)
        for level in (last, fine):
            deepest = max(deepest, 0 if level is None else 1 + len(level["widths"]))
        self.multiple = 2 ** max(deepest, 0 if levels and fine else len(widths))
        self.g1_last = None if last is None else MatchingLevel(dimension, **last, finer=True)
        self.g2 = AdditiveMask(dimension, mask_width, mask_code)
        if fine is None:
            self.g3 = UNet(dimension, 3, dimension, tuple(widths))
        else:
            self.g3 = MatchingLevel(dimension, **fine, images=3, finer=True)

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

    def rough(self, fixed: Tensor, moving: Tensor) -> MethodOutput:
        """G1 alone: what G2 and G3 add, in two thirds of the time, a refinement finds anyway."""
        return self(fixed, moving, stages=1)

    def coarse_displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """phi0: (N, D, *shape / 2), voxels of the half-resolution lattice."""
        return composed(self.all_velocities(fixed, moving), tuple(n // 2 for n in fixed.shape[2:]), self.steps)

    def all_velocities(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """All of G1, its last level included, from images at the working resolution; see coarse_velocities."""
        if not self.pyramid:
            return self.coarse_velocities(fixed, moving)
        velocities = self.coarse_velocities(halve(fixed), halve(moving))
        if self.g1_last is not None:
            velocities.append(last_velocity(self.g1_last, fixed, moving, velocities, self.steps))
        return velocities

    def coarse_velocities(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """G1 without its last level: velocities (N, D, *), voxels of their own lattices, whose exponentials are
        applied last to first.

        The U-Net takes the images at the working resolution, the pyramid at half of it.
        """
        if not self.pyramid:
            return [self.g1(torch.cat([fixed, moving], 1)).float()]
        return level_velocities(self.g1, fixed, moving, self.steps)

    def translation(self, fixed: Tensor, moving: Tensor, aligned: Tensor) -> Tensor:
        """G2: the moving image in the fixed's modality, M + Mask, unwarped."""
        return moving + self.g2(moving, fixed, aligned).float()

    def fine_velocity(self, fixed: Tensor, aligned: Tensor, translated: Tensor) -> Tensor:
        """G3: (N, D, *shape / 2), from the fixed and both renderings of the moving, warped by phi0."""
        if isinstance(self.g3, UNet):
            return self.g3(torch.cat([fixed, aligned, translated], 1)).float()
        return rendered_velocity(self.g3, fixed, aligned, translated)
