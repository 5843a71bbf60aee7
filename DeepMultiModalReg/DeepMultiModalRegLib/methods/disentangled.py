"""Disentangled: content without style, to translate with and to register by (Wu and Zhou; the translator after MUNIT,
Huang et al., ECCV 2018).

Each image is taken apart into content, which both modalities share, and style. The moving image's content in the
fixed's style is the moving image in the fixed's modality; the two contents themselves can be compared. One network R
registers either modality to the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..losses.mind import mind
from ..networks.disentangling import Disentangler, enlarged
from ..networks.planewise import AXES, in_plane, planes_mean, slices_along
from ..networks.warp import enlarge, warp
from .base import Method, MethodOutput
from .matching import FieldNetwork, rendered_velocity
from .modality import JUDGED, brought_together, most, of_each

CONTENT = 0.15  # weight of a channel of content, whose deviation is 1, beside the channels of MIND
HEAD = 0.02  # grey level above which a pixel counts as head
SLAB = 32  # slices taken apart at once
STORED = "stored"  # for `translate`: in the modality's usual style rather than in that of the fixed image


class Disentangled(Method):
    """The translator and R. One image is of the first modality, the other of the second; which, the contents say.

    width, halvings, blocks, code, style: networks.disentangling.Disentangler, in 3D on slices of three planes whose
    contents are averaged. levels, last, fine, steps: methods.matching.FieldNetwork.
    """

    keeps_styles = True  # it can translate without a partner: see networks.disentangling

    def __init__(
        self,
        dimension: int,
        levels: list[dict],
        fine: dict,
        last: dict | None = None,
        steps: int = 6,
        width: int = 64,
        halvings: int = 2,
        blocks: int = 4,
        code: int = 256,
        style: int = 8,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.translator = Disentangler(2, width, halvings, blocks, code, style)
        self.registration = FieldNetwork(dimension, levels, fine, steps, last)
        self.multiple = max(self.registration.multiple, 2 ** (halvings + 2))

    @torch.no_grad()
    def prepared(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> dict:
        """One answer for all slices: those that show most give it."""
        if fixed.shape[0] == 1:  # forward finds it as it goes
            return {}
        return {"second": self.moving_is_second(*brought_together(self.registration, fixed, moving))}

    def forward(
        self, fixed: Tensor, moving: Tensor, translate: bool | str = False, stages: int = 2, second: bool | None = None
    ) -> MethodOutput:
        """As Method.forward; `translate` may be "stored": in the usual style of the fixed's modality. `stages` 1 stops
        at the coarse field, before anything is taken apart. second: whether the moving image is of the second modality,
        found where not given."""
        u0 = self.registration.coarse(fixed, moving)
        full = enlarge(u0, fixed.shape[2:])
        if stages == 1:
            return MethodOutput(full)
        aligned = warp(moving, full)
        which = of_each(self.moving_is_second(fixed, aligned) if second is None else second, fixed)
        velocity, rendered = self.fine_velocity(fixed, moving, aligned, full, which)
        whole = self.registration.finished(u0, velocity, fixed.shape[2:])
        if translate == STORED:
            rendered = self.translation(moving, which, None)
        return MethodOutput(whole, rendered.clamp(0, 1) if translate else None)

    @torch.no_grad()
    def moving_is_second(self, fixed: Tensor, aligned: Tensor) -> bool:
        """Whether the moving image, aligned, rather than the fixed one is of the second modality: whether the contents
        so read differ less than the other way round, in the head, over the slices that show most (of a volume, axial
        ones). On 48 held-out pairs, two thirds through the translator's training, right on 44, where a network on
        pairs of grey levels was on 31 (methods.modality), and trying both translations on 36."""
        slices = [image if image.dim() == 4 else slices_along(image, AXES[0]) for image in (fixed, aligned)]
        shown = most(slices[0], JUDGED)
        fixed, aligned = (some[shown] for some in slices)
        head = ((fixed > HEAD) & (aligned > HEAD)).float()
        apart = []
        for second in (False, True):
            which = of_each(second, fixed)
            codes = self.translator.content(fixed, ~which), self.translator.content(aligned, which)
            here, there = (enlarged(code, fixed.shape[2:]) for code in codes)
            apart.append(float(((here - there).square() * head).sum()))
        return apart[1] < apart[0]

    def rough(self, fixed: Tensor, moving: Tensor) -> MethodOutput:
        """The levels alone, without any translation: what is left a refinement finds anyway."""
        return self(fixed, moving, stages=1)

    def fine_velocity(
        self, fixed: Tensor, moving: Tensor, aligned: Tensor, full: Tensor, second: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The last level's velocity, and the moving image in the fixed's modality and style, unwarped.

        aligned: moving warped by `full`, the field so far; second: (N,) whether the moving image is of the second
        modality.
        """
        with torch.no_grad():
            rendered = self.translation(moving, second, fixed)
            codes = CONTENT * self.codes(fixed, ~second), CONTENT * self.codes(aligned, second)
        return rendered_velocity(self.registration.fine, fixed, aligned, warp(rendered, full), codes), rendered

    def codes(self, images: Tensor, which: Tensor) -> Tensor:
        """(N, code, *shape) float32: the content of images (N, 1, *shape) of the modalities `which`, on their lattice;
        in 3D the mean over three planes."""

        def planar(slices: Tensor) -> Tensor:
            mine = which.repeat_interleave(len(slices) // len(which))
            parts = zip(slices.split(SLAB), mine.split(SLAB), strict=True)
            return torch.cat([enlarged(self.translator.content(*part), slices.shape[2:]) for part in parts])

        return planar(images) if self.dimension == 2 else planes_mean(images, planar)

    def translation(self, images: Tensor, which: Tensor, partner: Tensor | None) -> Tensor:
        """(N, 1, *shape) float32: images of the modalities `which` in the other one, in the style of `partner` (N, 1,
        *shape), which is of that one, or in its usual style."""
        if self.dimension == 2:
            return self._translated(images, which, partner)
        total = torch.zeros_like(images, dtype=torch.float32)
        for axis in AXES:
            given = None if partner is None else slices_along(partner, axis)
            total += in_plane(self._translated(slices_along(images, axis), which, given), axis, len(which))
        return total / len(AXES)

    def _translated(self, slices: Tensor, which: Tensor, partner: Tensor | None) -> Tensor:
        """As `translation`, of the slices of each volume; these share one style."""
        each = len(slices) // len(which)
        mine = which.repeat_interleave(each)
        if partner is None:
            style = self.translator.usual_style(~mine)
        else:
            parts = zip(partner.split(SLAB), mine.split(SLAB), strict=True)
            style = torch.cat([self.translator.style(some, ~kinds) for some, kinds in parts])
            if each > 1:  # of a volume: the mean over its slices by how much they show
                shown = partner.float().mean((1, 2, 3)).unflatten(0, (-1, each))[..., None] + 1e-6
                style = (style.unflatten(0, (-1, each)) * shown).sum(1) / shown.sum(1)
                style = style.repeat_interleave(each, 0)
        parts = zip(slices.split(SLAB), mine.split(SLAB), style.split(SLAB), strict=True)
        t = self.translator
        return torch.cat([t.decoded(t.content(some, kinds), look, ~kinds) for some, kinds, look in parts])

    def features(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """What refinement can compare (refine_by "model"): MIND-SSC and the contents of both images side by side, (N,
        C, *shape) each. Contents tell places a few voxels apart, MIND those next to each other: each alone is worse.

        fixed, moving: (N, 1, *shape) in [0, 1], on a lattice of about the trained spacing.
        """
        codes = self.contents(fixed, moving)
        both = zip((fixed, moving), codes, strict=True)
        return tuple(torch.cat([mind(image.float()), CONTENT * code], 1) for image, code in both)

    def contents(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """The contents of both images, (N, code, *shape) float32 each, of deviation 1 in the head; see `features`."""
        second = of_each(self.moving_is_second(*brought_together(self.registration, fixed, moving)), fixed)
        return self.codes(fixed, ~second), self.codes(moving, second)
