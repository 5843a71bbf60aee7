"""Draws training pairs: two images on one working lattice, labels of both, and the true field where it is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import InputError, sample
from .deformation import Placement, Ranges, middle_points, random_affine, uniform
from .subjects import Subject
from .synthesis import synthesise

# orientation of a working slice's axes (columns) in LPS, and of its normal: upright as radiologists print them
PLANES = {
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
}

NO_CROP = -1e9


@dataclass
class Pair:
    """fixed, moving: (1, 1, *shape) in [0, 1]; labels: (1, 1, *shape) compact numbers or None; truth: (1, D, *shape) in
    voxels, where each fixed voxel lies in the moving image, known for pairs of one person, or None; kind: for the log.
    modalities: of the fixed and of the moving image.
    """

    fixed: Tensor
    moving: Tensor
    fixed_labels: Tensor | None
    moving_labels: Tensor | None
    truth: Tensor | None
    kind: str
    modalities: tuple[str, str] = ("", "")

    def to(self, device: torch.device) -> Pair:
        moved = ("fixed", "moving", "fixed_labels", "moving_labels", "truth")
        return replace(self, **{k: v.to(device) for k in moved if (v := getattr(self, k)) is not None})


@dataclass(frozen=True)
class Recipe:
    """One way of drawing pairs. group: whose subjects; images: "real" or "synthetic"; same: one subject or two;
    weight: how often; shape: the working lattice; plane heights in mm above and below the middle (slices only)."""

    group: str
    images: str
    same: bool
    weight: float
    shape: tuple[int, ...]
    heights: tuple[float, float] = (-35.0, 45.0)
    jitter_mm: float = 3.0
    contrasts: tuple[str, ...] = ("t1", "t2", "random")
    stripped: float = 0.5


class PairSampler:
    """Draws pairs by recipe. Everything random comes from the generator given to `draw`: same generator, same pair.

    spacing: mm of the working lattice; fixed_ranges: the pose and deformation of the fixed image and, for two different
    people, of the moving one; pair_ranges: the motion between both images of one person.
    """

    def __init__(
        self, subjects: list[Subject], recipes: list[Recipe], spacing: float, pose_ranges: Ranges, pair_ranges: Ranges
    ) -> None:
        self.groups: dict[str, list[Subject]] = {}
        for subject in subjects:
            self.groups.setdefault(subject.group, []).append(subject)
        for recipe in recipes:
            if any(s.stacked for s in self.groups.get(recipe.group, [])):
                _check_stacked(recipe)
        self.recipes = recipes
        self.weights = torch.tensor([float(r.weight) for r in recipes])
        self.spacing = spacing
        self.pose_ranges = pose_ranges
        self.pair_ranges = pair_ranges

    def on(
        self,
        coarser: int = 1,
        shape: tuple[int, ...] | None = None,
        pose: dict | None = None,
        motion: dict | None = None,
        same: bool | None = None,
        images: str | None = None,
    ) -> PairSampler:
        """The same recipes on lattices of `coarser` times the spacing, real images smoothed to suit it, or all of one
        shape, or with other ranges of pose and motion, or only those of one person (same) or of two, or only real ones.

        A smaller shape shows the middle of the head alone, at a fraction of the work.
        """
        shapes = [tuple(shape) if shape else tuple(n // coarser for n in r.shape) for r in self.recipes]
        recipes = [
            replace(r, shape=s)
            for r, s in zip(self.recipes, shapes, strict=True)
            if same in (None, r.same) and images in (None, r.images)
        ]
        spacing = self.spacing * coarser
        subjects = [s if coarser == 1 else s.smoothed(spacing) for group in self.groups.values() for s in group]
        ranges = [
            given if wanted is None else Ranges(**wanted)
            for given, wanted in ((self.pose_ranges, pose), (self.pair_ranges, motion))
        ]
        return PairSampler(subjects, recipes, spacing, *ranges)

    def recipe(self, generator: torch.Generator, shape: tuple[int, ...] | None = None) -> Recipe:
        """A recipe by its weight, of those with the working lattice `shape` if given."""
        weights = self.weights
        if shape is not None:
            weights = weights * torch.tensor([float(r.shape == shape) for r in self.recipes])
        return self.recipes[int(torch.multinomial(weights, 1, generator=generator))]

    def draw(self, generator: torch.Generator, recipe: Recipe) -> Pair:
        people = self.groups[recipe.group]
        i = int(torch.randint(len(people), (), generator=generator))
        j = i
        if not recipe.same:
            j = (i + 1 + int(torch.randint(len(people) - 1, (), generator=generator))) % len(people)
        shape, spacing = recipe.shape, self.spacing
        moving_place = Placement.draw(shape, spacing, self.pose_ranges, generator, elastic=not recipe.same)
        truth = None
        if recipe.same:  # fixed = person at M(T(x)), moving = person at M(y): T is the truth
            motion = Placement.draw(shape, spacing, self.pair_ranges, generator)
            at_fixed = motion.apply(motion.deformed(shape, spacing))
            truth = ((at_fixed - middle_points(shape, spacing)) / spacing).movedim(-1, 0)[None]
            fixed_place = moving_place.after(motion)
        else:
            fixed_place = Placement.draw(shape, spacing, self.pose_ranges, generator)
        frame, offset = self._frame(people[i], recipe, generator)
        jitter = torch.randn(3, generator=generator) * (recipe.jitter_mm if not recipe.same else 0.0)
        if len(shape) == 2:  # a slice pair shares its plane but for a little
            jitter = jitter * (frame[:, :2].abs().sum(1) > 0.5)
        modalities = self._contrasts(people[i], recipe, generator)
        strip = bool(torch.rand((), generator=generator) < recipe.stripped)
        crops = [_crop_height(generator) for _ in "fm"]
        fixed, fixed_labels = self._picture(
            people[i], recipe.shape, fixed_place, frame, offset, modalities[0], strip, crops[0], generator
        )
        moving, moving_labels = self._picture(
            people[j], recipe.shape, moving_place, frame, offset + jitter, modalities[1], strip,
            crops[0] if recipe.same else crops[1], generator,
        )  # fmt: skip
        kind = f"{recipe.group}-{recipe.images}-{'same' if recipe.same else 'cross'}"
        return Pair(fixed, moving, fixed_labels, moving_labels, truth, kind, tuple(modalities))

    def _frame(self, person: Subject, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(3, D) axes of the working lattice in LPS, and the mm from the person's middle to the lattice's."""
        if person.stacked:  # one of its slices, exactly
            k = float(torch.randint(person.grid.size[2], (), generator=generator))
            return torch.eye(3)[:, :2], torch.cat([torch.randn(2, generator=generator) * 6.0, torch.tensor([k])])
        if len(recipe.shape) == 3:
            return torch.eye(3), torch.randn(3, generator=generator) * 6.0
        chance = float(torch.rand((), generator=generator))
        name = "axial" if chance < 0.7 else "coronal" if chance < 0.85 else "sagittal"
        axes = torch.tensor(PLANES[name], dtype=torch.float32).T
        tilt, _ = random_affine(3, Ranges(0, 8.0, 0, 0), generator)
        axes = tilt @ axes
        height = uniform(*recipe.heights, generator, 1)
        return axes[:, :2], axes[:, 2] * height + axes[:, :2] @ (torch.randn(2, generator=generator) * 6.0)

    @staticmethod
    def _contrasts(subject: Subject, recipe: Recipe, generator: torch.Generator) -> list[str]:
        """Two different modalities of a real subject, or two contrasts to synthesise (both may be "random")."""
        if recipe.images == "real":
            names = sorted(subject.images)
            order = torch.randperm(len(names), generator=generator)[:2]
            return [names[k] for k in order]
        kinds = recipe.contrasts
        first = kinds[int(torch.randint(len(kinds), (), generator=generator))]
        others = [k for k in kinds if k != first or k == "random"] or [first]
        return [first, others[int(torch.randint(len(others), (), generator=generator))]]

    def _picture(
        self, subject: Subject, shape: tuple[int, ...], place: Placement, frame: Tensor, offset: Tensor, modality: str,
        strip: bool, crop: float, generator: torch.Generator,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """One image (1, 1, *shape) of a subject and its labels, read where `place` puts the lattice in the frame
        given."""
        inverse = subject.grid.inverse_matrix.float()
        middle = frame @ place.translation + offset + subject.centre.float()
        x = place.deformed(shape, self.spacing)
        to_lps = frame @ place.linear
        index = x @ (inverse[:3, :3] @ to_lps).T + (inverse[:3, :3] @ middle + inverse[:3, 3])
        flat = index if index.dim() == 4 else index[None]

        def read(tensor: Tensor, mode: str) -> Tensor:
            return sample(tensor, flat, mode, 0.0).reshape(1, 1, *shape)

        labels = None if subject.labels is None else read(subject.labels, "nearest")
        if modality in subject.images:
            image = read(subject.images[modality], "linear")
            # a real scanner's other settings: a gentle change of grey levels
            image = image.clamp(0, 1).pow(torch.exp(0.2 * torch.randn((), generator=generator)).item())
            noise = uniform(0, 0.02, generator, 1).item()
            return image + torch.randn(image.shape, generator=generator) * noise * (image > 0), labels
        if strip:
            labels = labels * subject.table.brain.float()[labels.long()]
        if crop > NO_CROP:
            below = x @ to_lps[2] + middle[2] - subject.centre[2].float() < crop
            labels = labels.masked_fill(below[None, None], 0.0)
        return synthesise(labels, subject.table, modality, self.spacing, generator), labels


def _check_stacked(recipe: Recipe) -> None:
    """Single slices have no third dimension, no neighbours, and no counterpart in another person."""
    if len(recipe.shape) != 2 or recipe.images != "real" or not recipe.same:
        raise InputError(
            f"The recipe of '{recipe.group}' asks for more than single slices hold; "
            "make it 2D, with images: real and same: true."
        )


def _crop_height(generator: torch.Generator) -> float:
    """mm below the middle where a third of the synthetic fields of view end, as scans of heads do."""
    height = uniform(-110, -60, generator, 1).item()
    return height if torch.rand((), generator=generator) < 0.3 else NO_CROP
