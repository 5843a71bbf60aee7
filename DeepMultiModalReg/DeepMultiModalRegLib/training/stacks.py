"""Patients of whom there are only pictures: folders of slices, two modalities aligned slice by slice."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..core import Grid, InputError
from ..engine.intensity import normalise
from ..io import read_image
from .subjects import Subject

HEAD = 0.1  # grey level above which a pixel counts for where the head's middle is


def load_stacks(source: dict, data: Path) -> list[Subject]:
    """The patients of one source of a training configuration (training/configs), a Subject each.

    source: {group, slices: glob of the patients' folders under `data`, images: {modality: pattern of its files with one
    *, such as "*_ct.png"}, spacing: mm of a pixel (1 by default), exclude, only: names of folders}. Slices that show
    all modalities are kept, and belong together by what the * stands for; rows run from front to back, columns from
    right to left, as printed (LPS). The distance between slices is not known: they are K mm apart in name only, and
    pairs are drawn within one slice (training.pairs).

    Raises InputError where there is no patient, or one without a whole slice or with slices of several sizes.
    """
    exclude = {str(name) for name in source.get("exclude", [])}
    only = {str(name) for name in source.get("only", [])}
    found = [path for path in sorted(data.glob(source["slices"])) if path.is_dir() and path.name not in exclude]
    subjects = [_load(path, source) for path in found if not only or path.name in only]
    if not subjects:
        raise InputError(
            f"No training slices were found under {data} for '{source['group']}'; set DEEPMULTIMODALREG_DATA."
        )
    return subjects


def _load(folder: Path, source: dict) -> Subject:
    files = {modality: _files(folder, pattern) for modality, pattern in source["images"].items()}
    common = sorted(set.intersection(*(set(named) for named in files.values())))
    if not common:
        raise InputError(f"No slice in {folder} shows all of {', '.join(files)}; check the patterns of the files.")
    stacks = {m: [read_image(named[key])[0].tensor[0].float() for key in common] for m, named in files.items()}
    if len(sizes := {tuple(s.shape) for stack in stacks.values() for s in stack}) > 1:
        raise InputError(f"The slices in {folder} have several sizes {sorted(sizes)}; bring them to one.")
    images = {m: normalise(torch.stack(stack)[None]) for m, stack in stacks.items()}
    spacing = float(source.get("spacing", 1.0))
    shape = next(iter(images.values())).shape[1:]
    grid = Grid(tuple(shape[::-1]), (spacing, spacing, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    name = f"{source['group']}/{folder.name}"
    return Subject(name, source["group"], grid, images, centre=_middle(images, spacing), stacked=True)


def _files(folder: Path, pattern: str) -> dict[str, Path]:
    """What the * of the pattern stands for, to the file."""
    before, _, after = pattern.partition("*")
    return {p.name[len(before) : len(p.name) - len(after)]: p for p in folder.glob(pattern)}


def _middle(images: dict[str, Tensor], spacing: float) -> Tensor:
    """(3,) LPS mm of the middle of all heads in the plane, on the first slice."""
    seen = torch.stack(list(images.values())).amax((0, 1, 2)) > HEAD
    row, column = seen.nonzero().double().mean(0).tolist() if seen.any() else ((n - 1) / 2 for n in seen.shape)
    return torch.tensor([column * spacing, row * spacing, 0.0], dtype=torch.float64)
