"""Slices for the equivariant method: mid-axial, of many anatomies, all set into the template's frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import InputError, sample
from ..networks.canonical import moments
from ..networks.posing import read_at
from .deformation import Placement, Ranges, middle_points, random_affine, uniform
from .stacks import load_stacks
from .subjects import Subject, load_subjects
from .synthesis import synthesise

TILT = Ranges(translation_mm=0, rotation_degrees=4.0, scale=0, shear=0)
ALONE = Ranges(translation_mm=0, rotation_degrees=0, scale=0, shear=0)  # a deformation without a pose of its own

LEGIBLE = 0.14  # least standard deviation of a synthetic brain's grey levels, on 0 to 1
DRAWS = 6  # at most


@dataclass
class Slices:
    """images: (S, M, *shape) in [0, 1], S anatomies in M modalities; truth: the identity for every one of them, since
    all lie in the template's frame; names: of the subject that each was made from."""

    images: Tensor
    modalities: tuple[str, ...]
    names: list[str]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Frame:
    """The template's frame: shape and spacing (mm) of its lattice; middle and covariance (mm) of the brain in it."""

    shape: tuple[int, int]
    spacing: float
    middle: Tensor
    covariance: Tensor

    def matched(self, inside: Tensor) -> Tensor:
        """(3, 3): the affine map, in mm about the lattice's middle, that carries this frame's brain onto the brain
        `inside` (*shape, bool) by middle and covariance, without a turn: which way is up is the header's."""
        points = middle_points(self.shape, self.spacing)[inside]
        if len(points) < 100:
            raise InputError("A training slice shows no brain; choose another height.")
        theirs = torch.cov(points.T)
        # the symmetric positive map between two covariances
        root = _root(self.covariance)
        linear = torch.linalg.inv(root) @ _root(root @ theirs @ root) @ torch.linalg.inv(root)
        matrix = torch.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = points.mean(0) - linear @ self.middle
        return matrix


def template(source: dict, data: Path, shape: tuple[int, int], spacing: float, height: float) -> tuple[Tensor, Frame]:
    """(2, 1, *shape): the T1 average as a whole head and its brain alone, and their frame.

    source: a subject that lies in the average's space with labels ("brain") and the average itself ("average"), both
    as training/subjects.py reads them; height: mm of the plane, LPS (MNI) z.
    """
    average = load_subjects(source["average"], data)[0]
    brain = load_subjects(source["brain"], data)[0]
    x = middle_points(shape, spacing)
    z = torch.tensor([0.0, float(average.grid.centre[1]), height])
    lps = torch.cat([x, torch.zeros(*shape, 1)], -1) + z
    inside = _read(brain, brain.labels, lps, "nearest") > 0
    whole = _read(average, average.images["t1"], lps, "linear")
    whole = whole * _closed(whole > 0.15, 9)  # no haze: the frame of a picture that is turned must not be seen
    points = x[inside[0, 0]]
    return torch.cat([whole, whole * _closed(inside, 5)]), Frame(shape, spacing, points.mean(0), torch.cov(points.T))


def make_slices(recipes: list[dict], sources: list[dict], data: Path, frame: Frame, seed: int) -> Slices:
    """The anatomies of all recipes: {group, each, heights: [mm below, mm above the brain's middle], elastic}.

    Of every subject of a group `each` anatomies are made: a plane of its own, a smooth random one-to-one deformation
    (the first of a subject with images of its own goes without), then set into the frame. T1 and T2 of an anatomy are
    the subject's own, or synthesised from its labels, half of them as a brain alone.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = {source["group"]: load_subjects(source, data) for source in sources}
    images, names = [], []
    for recipe in recipes:
        for subject in groups[recipe["group"]]:
            for number in range(recipe["each"]):
                images.append(_anatomy(subject, recipe, number, frame, generator))
                names.append(subject.name)
    return Slices(torch.stack(images), ("t1", "t2"), names)


def real_slices(source: dict, data: Path, reference: Tensor) -> Tensor:
    """(P, *shape) slices of patients of whom there are only pictures, as they were found: upright to some degrees.

    source: as training/stacks.py reads it, of one modality, and part: [from, to], shares of a patient's slices between
    which they are taken. The head gets the middle and the size (not the proportions, not the turn) of that in the
    reference (1, *shape).
    """
    wanted, (low, high) = spread_of(reference[None])[1], source["part"]
    found = []
    for subject in load_stacks(source, data):
        stack = next(iter(subject.images.values()))[0][:, None]  # (K, 1, J, I)
        chosen = stack[round(low * len(stack)) : max(round(high * len(stack)), round(low * len(stack)) + 1)]
        middle, size = spread_of(chosen)
        view = torch.eye(3).repeat(len(chosen), 1, 1)
        view[:, :2, :2] *= (size / wanted)[:, None, None]
        view[:, :2, 2] = middle
        found.append(read_at(chosen, view, 1.0, tuple(reference.shape[1:]), 1.0, fine=2)[:, 0])
    return torch.cat(found)


def spread_of(images: Tensor) -> tuple[Tensor, Tensor]:
    """Middle (N, 2) of the heads in images (N, 1, *shape), pixels about the lattice's middle, and the root of the
    product of their standard deviations along both axes (N,)."""
    middle, covariance = moments(images, 1.0)
    return middle, torch.linalg.det(covariance).clamp(min=1e-6).sqrt().sqrt()


def _anatomy(subject: Subject, recipe: dict, number: int, frame: Frame, generator: torch.Generator) -> Tensor:
    """(2, *shape)."""
    shape, spacing = frame.shape, frame.spacing
    own = bool(subject.images)
    still = own and number == 0
    tilt, _ = random_affine(3, ALONE if still else TILT, generator)
    height = 0.0 if still else uniform(*recipe["heights"], generator, 1).item()
    ranges = Ranges(0, 0, 0, 0, 0.0 if still else recipe.get("elastic", 0.12))
    place = Placement.draw(shape, spacing, ranges, generator)
    zoom = recipe.get("zoom", 1.0)  # newborns: read on a finer lattice first, so that the frame's brain is covered
    plain = _lifted(subject, place.deformed(shape, spacing) * zoom, tilt, height)
    to_person = frame.matched(_brain(subject, _read(subject, subject.labels, plain, "nearest"))[0, 0])
    x = middle_points(shape, spacing) @ to_person[:2, :2].T + to_person[:2, 2]
    u = sample(place.displacement, x / spacing + torch.tensor([(n - 1) / 2 for n in shape[::-1]]), fill=None)
    lps = _lifted(subject, (x + u.movedim(0, -1)) * zoom, tilt, height)
    labels = _read(subject, subject.labels, lps, "nearest")
    strip = bool(torch.rand((), generator=generator) < 0.5)
    if not own and strip:
        labels = labels * _brain(subject, labels)
    pictures = []
    for modality in ("t1", "t2"):
        if own:
            image = _read(subject, subject.images[modality], lps, "linear").clamp(0, 1)
            image = image.pow(torch.exp(0.2 * torch.randn((), generator=generator)).item())
        else:
            image = _legible(labels, subject, modality, spacing, generator) * _closed(labels > 0, 3)
        pictures.append(image[0, 0])
    return torch.stack(pictures)


def _legible(labels: Tensor, subject: Subject, modality: str, spacing: float, generator: torch.Generator) -> Tensor:
    """A synthetic image of labels (1, 1, *shape), drawn again where the brain came out nearly even."""
    inside = _brain(subject, labels)
    for _ in range(DRAWS):
        image = synthesise(labels, subject.table, modality, spacing, generator)
        if image[inside].std() > LEGIBLE:
            break
    return image


def _lifted(subject: Subject, x: Tensor, tilt: Tensor, height: float) -> Tensor:
    """(*shape, 2) mm in the plane to (*shape, 3) LPS mm: the axial plane `height` above the brain's middle, tilted."""
    flat = torch.cat([x, torch.full((*x.shape[:-1], 1), height)], -1)
    return flat @ tilt.T + subject.centre.float()


def _read(subject: Subject, tensor: Tensor, lps: Tensor, mode: str) -> Tensor:
    """(1, 1, *shape) of a subject's (1, *shape3) tensor at (*shape, 3) LPS mm."""
    inverse = subject.grid.inverse_matrix.float()
    index = lps @ inverse[:3, :3].T + inverse[:3, 3]
    return sample(tensor, index[None], mode, 0.0).reshape(1, 1, *lps.shape[:-1])


def _brain(subject: Subject, labels: Tensor) -> Tensor:
    return subject.table.brain[labels.long()]


def _closed(mask: Tensor, side: int) -> Tensor:
    """(1, 1, *shape) bool with its gaps of less than `side` pixels filled, as 0 or 1."""
    grown = F.max_pool2d(mask.float(), side, 1, side // 2)
    return -F.max_pool2d(-grown, side, 1, side // 2)


def _root(symmetric: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
