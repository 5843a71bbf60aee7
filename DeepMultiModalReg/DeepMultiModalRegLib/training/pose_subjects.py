"""Subjects to learn poses from: small label maps and real images, each with its way into the template's frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core import Grid, InputError, resample
from ..core.image import reorient
from ..engine.body import box
from ..engine.intensity import normalise
from ..engine.reduce import averaged
from ..io import read_image
from .template_frame import centroids, freesurfer, mni_centroids, template_centroids, to_template

ROOM_MM = 6.0  # kept around the head


@dataclass
class PoseSubject:
    """labels: (1, 1, *shape) uint8 numbers into `values`, or None; images: modality -> (1, 1, *shape) in [0, 1]; all
    on `grid`. to_template: (4, 4), LPS mm to template mm. newborn, whole: what it shows."""

    name: str
    grid: Grid
    labels: Tensor | None
    values: list[int]
    images: dict[str, Tensor]
    to_template: Tensor
    newborn: bool
    whole: bool


def load_pose_subjects(sources: list[dict], held_out: bool, data: Path) -> list[PoseSubject]:
    """The subjects of a configuration's sources, those named in each `held_out` only, or all the others.

    source: {group, files: glob of folders or label maps under `data`, labels: file in the folder, images:
    {modality: file}, kind: freesurfer | silver | mni, spacing: mm, newborn, whole, held_out: [names]}. The first
    source gives the template (all of its subjects: a frame is no image). Kind mni has no labels and lies in MNI space.
    Raises InputError where a source has no subject.
    """
    template, subjects = None, []
    for source in sources:
        paths = sorted(data.glob(source["files"]))
        if not paths:
            raise InputError(f"No training subject was found under {data} for '{source['group']}'.")
        read = [_read(path, source) for path in paths]
        if template is None:
            template = template_centroids([found for *_, found in read])
        for path, (grid, numbers, found) in zip(paths, read, strict=True):
            name = path.name.split(".")[0]
            if (name in [str(n) for n in source.get("held_out", [])]) == held_out:
                subjects.append(_subject(path, name, source, grid, numbers, to_template(found, template)))
    return subjects


def _read(path: Path, source: dict) -> tuple[Grid, Tensor | None, dict]:
    """A small lattice around the head, its label numbers there, and their centroids."""
    file = path / (source.get("labels") or next(iter(source["images"].values()))) if path.is_dir() else path
    image = reorient(read_image(file)[0])
    thin = image.tensor[0, ::3, ::3, ::3] > 0
    index = torch.nonzero(thin).flip(-1).double() * 3
    low, high = box(index @ image.grid.matrix[:3, :3].T + image.grid.matrix[:3, 3])
    spacing = float(source["spacing"])
    size = tuple(int(e) for e in ((high - low + 2 * ROOM_MM) / spacing).ceil())
    grid = Grid.regular(size, spacing, (low + high) / 2)
    if source["kind"] == "mni":
        return grid, None, mni_centroids()
    numbers = resample(image, grid, None, "nearest", 0).tensor[0].long()
    points = grid.points(torch.float32)
    if source["kind"] == "silver":
        numbers = freesurfer(numbers, points)
    return grid, numbers, centroids(numbers, points)


def _subject(path: Path, name: str, source: dict, grid: Grid, numbers: Tensor | None, frame: Tensor) -> PoseSubject:
    values, labels = [], None
    if numbers is not None:
        kinds, compact = numbers.unique(return_inverse=True)
        values, labels = kinds.tolist(), compact.to(torch.uint8)[None, None]
    images = {}
    for modality, file in source.get("images", {}).items():
        real = reorient(read_image(path / file)[0])
        images[modality] = normalise(resample(averaged(real, grid), grid, None, "linear", 0.0).tensor)[None]
    newborn, whole = bool(source.get("newborn")), bool(source.get("whole"))
    return PoseSubject(f"{source['group']}/{name}", grid, labels, values, images, frame, newborn, whole)
