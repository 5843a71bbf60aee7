"""Volumes in random poses: what the network that finds poses learns from, drawn without end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine.intensity import normalise
from ..methods.equivariant_volume import EquivariantVolume
from .deformation import uniform
from .pose_contrast import draw_kind, grey_levels, stripped
from .pose_geometry import lattice_index, random_rotation, sampled_at, view_planes, visible_body
from .pose_subjects import PoseSubject
from .synthesis import blur, thick_slices


@dataclass(frozen=True)
class PoseRanges:
    """degrees: largest turn of which places are learned; far: share of images turned further, up to half a turn, of
    which it is learned to be unsure; upright: share of the others turned by less than `near` degrees, half of those
    framed by the brain instead of the body; jitter: voxels that the framing is off by; scale, shear: log scale and
    shear; warp: voxels."""

    degrees: float = 75.0
    far: float = 0.3
    upright: float = 0.3
    near: float = 30.0
    jitter: float = 1.6
    scale: float = 0.15
    shear: float = 0.06
    warp: float = 0.5


@dataclass
class PoseBatch:
    """images: (N, 1, *shape) in [0, 1]; matrix: (N, 4, 4) true map of the lattice's index less its middle to template
    mm; places: (N, M, 3) template mm of the blocks of two voxels a side, the smooth warp included; shown: (N, M) bool,
    tissue in view; brain: (N, M) bool; kinds: what each image is; lattice: (N, 4, 4) index to the subject's LPS mm;
    known: (N,) 1 where places are to be learned, 0 for the far turns."""

    images: Tensor
    matrix: Tensor
    places: Tensor
    shown: Tensor
    brain: Tensor
    kinds: list[str]
    lattice: Tensor
    known: Tensor


@dataclass
class Rendered:
    """grey: (1, 1, *shape) in [0, 1] and member: (1, 2, *shape), tissue and brain, on the subject's lattice; middle:
    (3,) and radius: of the visible body, LPS mm; planes: (P, 4), what lies where n.x > d is out of view."""

    subject: PoseSubject
    grey: Tensor
    member: Tensor
    middle: Tensor
    radius: float
    planes: Tensor
    kind: str


class PoseSampler:
    """Draws batches. groups: share of each group of subjects ("labelmaps": 0.5, ...); real: share of real images where
    there are any."""

    def __init__(
        self, subjects: list[PoseSubject], groups: dict[str, float], method: EquivariantVolume, real: float = 0.6
    ) -> None:
        self.groups = {g: [s for s in subjects if s.name.split("/")[0] == g] for g in groups}
        self.groups = {g: members for g, members in self.groups.items() if members}
        self.shares = torch.tensor([float(groups[g]) for g in self.groups])
        self.size, self.body_voxels, self.brain_mm = method.size, method.body_voxels, method.brain_mm
        self.real = real

    def draw(self, count: int, each: int, ranges: PoseRanges, generator: torch.Generator) -> PoseBatch:
        """`count` rendered heads in `each` poses, side by side."""
        parts = []
        for _ in range(count):
            group = list(self.groups.values())[int(torch.multinomial(self.shares, 1, generator=generator))]
            subject = group[int(torch.randint(len(group), (), generator=generator))]
            rendered = self.render(subject, generator)
            parts += [self.pose(rendered, ranges, generator) for _ in range(each)]
        return collate(parts)

    def render(self, subject: PoseSubject, generator: torch.Generator) -> Rendered:
        """One image of a subject: its contrast, what is stripped or cut off, its resolution."""
        chance = torch.rand(6, generator=generator)
        strip = subject.whole and bool(chance[0] < 0.45)
        real = bool(subject.images) and (subject.labels is None or bool(chance[1] < self.real))
        if real:
            modality = list(subject.images)[int(torch.randint(len(subject.images), (), generator=generator))]
            grey, kind = subject.images[modality], f"real-{modality}"
            tissue = (grey > 0.03).float()
            brain = tissue if subject.labels is None else (subject.labels > 0).float()
            if chance[2] < 0.4:
                grey = _recoloured(grey, generator)
        else:
            kind = draw_kind(generator)
            values = subject.values
            levels = grey_levels(values, kind, subject.newborn, generator)
            keep = torch.tensor([float(v != 0) for v in values])
            if strip or not subject.whole:
                keep = keep * stripped(values, generator)
            inside = torch.tensor([float(0 < v < 500) for v in values]) * keep
            index = subject.labels.long()
            noise = torch.randn(index.shape, generator=generator) * uniform(0, 0.08, generator, 1)
            tissue = keep[index]
            grey = (levels * keep)[index] + noise * tissue
            brain = inside[index]
            grey = blur(grey, uniform(0.4, 0.9, generator, 1).item())
        if chance[3] < 0.35:
            factor = uniform(3.0, 7.0, generator, 1).item() / subject.grid.spacing[0]
            if factor > 1.2:
                grey = thick_slices(grey, int(torch.randint(3, (), generator=generator)), factor)
        planes = view_planes(subject, bool(chance[4] < 0.5), generator)
        whole = subject.whole and not strip
        kind = f"{'newborn' if subject.newborn else 'adult'}/{'whole' if whole else 'stripped'}/{kind}"
        if len(planes):
            kind += "/cut"
        points = visible_body(grey, subject, planes)
        middle = points.mean(0)
        radius = (points - middle).square().sum(1).mean().sqrt().item()
        return Rendered(subject, grey, torch.cat([tissue, brain], 1), middle, radius, planes, kind)

    def pose(self, rendered: Rendered, ranges: PoseRanges, generator: torch.Generator) -> tuple:
        """One lattice laid over a rendered head: image and truth, as the fields of PoseBatch."""
        subject, n = rendered.subject, self.size
        chance = torch.rand(4, generator=generator)
        far = bool(chance[2] < ranges.far)
        near = not far and bool(chance[0] < ranges.upright)
        most = 180.0 if far else ranges.near if near else ranges.degrees
        turn = random_rotation(ranges.degrees if far else 0.0, most, generator)
        upright = subject.to_template[:3, :3].double()
        u, _, vh = torch.linalg.svd(upright)
        back = (u @ vh).T  # template axes to the subject's
        middle, spacing = rendered.middle, rendered.radius / self.body_voxels
        if near and chance[1] < 0.5:  # the second look: framed by the brain, its middle at the template's origin
            middle = -torch.linalg.solve(upright, subject.to_template[:3, 3].double())
            spacing = self.brain_mm / float(torch.linalg.det(upright)) ** (1 / 3)
        spacing *= math.exp(uniform(-ranges.scale, ranges.scale, generator, 1).item())
        shear = torch.randn(3, 3, generator=generator).double() * ranges.shear
        linear = back @ turn @ torch.linalg.matrix_exp((shear + shear.T) / 2) * spacing
        lattice = torch.eye(4, dtype=torch.float64)
        lattice[:3, :3] = linear
        jitter = torch.randn(3, generator=generator).double() * ranges.jitter
        lattice[:3, 3] = middle + linear @ jitter
        index = lattice_index(n)
        warp = torch.randn(1, 3, 5, 5, 5, generator=generator) * uniform(0, ranges.warp, generator, 1)
        u = F.interpolate(warp, size=(n, n, n), mode="trilinear", align_corners=True)[0].movedim(0, -1)
        bent = (index + u).reshape(-1, 3)
        mm = bent @ lattice[:3, :3].T.float() + lattice[:3, 3].float()
        outside = torch.zeros(n**3, dtype=torch.bool)
        for plane in rendered.planes:
            outside |= mm @ plane[:3] > plane[3]
        where = sampled_at(mm, subject, (n, n, n))
        grey = F.grid_sample(rendered.grey, where, align_corners=False, padding_mode="zeros")
        grey = grey * (~outside).reshape(1, 1, n, n, n)
        image = self._finished(grey, generator)
        blocks = bent.reshape(n, n, n, 3)[::2, ::2, ::2] + 0.5  # the warp is smooth: its value at a corner will do
        blocks = blocks.reshape(-1, 3)
        matrix = subject.to_template.double() @ lattice
        places = blocks @ matrix[:3, :3].T.float() + matrix[:3, 3].float()
        block_mm = blocks @ lattice[:3, :3].T.float() + lattice[:3, 3].float()
        member = F.grid_sample(rendered.member, sampled_at(block_mm, subject, (n // 2,) * 3), align_corners=False)
        inside = F.max_pool3d(outside.reshape(1, 1, n, n, n).float(), 2) < 0.5
        member = (member > 0.5) & inside
        shown, brain = member[0].flatten(1)
        return image, matrix.float(), places, shown, brain, rendered.kind, lattice.float(), float(not far)

    def _finished(self, grey: Tensor, generator: torch.Generator) -> Tensor:
        """Bias field, noise, gamma, and the engine's normalisation, of (1, 1, *shape)."""
        chance = torch.rand(3, generator=generator)
        field = torch.randn(1, 1, 4, 4, 4, generator=generator) * uniform(0, 0.35, generator, 1)
        grey = grey * F.interpolate(field, size=grey.shape[2:], mode="trilinear", align_corners=True).exp()
        strength = uniform(0, 0.06, generator, 1)
        noise = torch.randn(grey.shape, generator=generator) * strength
        # Rician in the air of a scanner's image; none where a program has set it to zero
        grey = (grey + noise).abs() if chance[0] < 0.4 else (grey + noise * (grey > 0.01)).clamp(min=0)
        return normalise(grey).pow(math.exp(0.3 * torch.randn((), generator=generator).item()))


def collate(parts: list[tuple]) -> PoseBatch:
    images, matrix, places, shown, brain, kinds, lattice, known = zip(*parts, strict=True)
    stacked = [torch.stack(x) for x in (matrix, places, shown, brain, lattice)]
    return PoseBatch(torch.cat(images), *stacked[:4], list(kinds), stacked[4], torch.tensor(known))


def _recoloured(grey: Tensor, generator: torch.Generator) -> Tensor:
    """A real image through a random curve: other tissue contrast, the background stays dark."""
    knots = uniform(0, 1, generator, 6)
    knots[0] = 0
    place = grey.clamp(0, 1) * 5
    low = place.long().clamp(max=4)
    share = place - low
    return knots[low] * (1 - share) + knots[low + 1] * share
