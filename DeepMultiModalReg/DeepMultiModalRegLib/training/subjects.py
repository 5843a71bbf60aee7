"""The people that networks are trained on: images of several modalities, labels, and where the head is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Grid, InputError
from ..engine.intensity import normalise
from ..io import read_image
from .synthesis import TissueTable

EXTRA_CEREBRAL = 500  # labels from here on lie outside the brain (skin, bone, air, neck)
BACKGROUND_CLASS = 0


@dataclass
class Subject:
    """images: modality -> (1, *shape) float32 in [0, 1]; labels: (1, *shape) float32 compact label numbers, or None.

    centre: (3,) LPS mm of the head's or brain's middle. All on `grid`. `group` says with whom this subject may be
    paired. stacked: the images are single slices along K, not a volume: nothing may be read between them.
    """

    name: str
    group: str
    grid: Grid
    images: dict[str, Tensor] = field(default_factory=dict)
    labels: Tensor | None = None
    table: TissueTable | None = None
    centre: Tensor | None = None
    stacked: bool = False

    def smoothed(self, spacing: float) -> Subject:
        """The same subject with images averaged over blocks, ready to be read on a lattice of `spacing` mm."""
        block = max(1, int(0.8 * spacing / max(self.grid.spacing[: 2 if self.stacked else 3])))
        if block == 1 or not self.images:
            return self
        kernel = (1 if self.stacked else block, block, block)
        padding = tuple(k // 2 for k in kernel)
        images = {
            m: F.avg_pool3d(x[None], kernel, 1, padding, count_include_pad=False)[0] for m, x in self.images.items()
        }
        shape = self.grid.shape
        return replace(
            self, images={m: x[:, : shape[0], : shape[1], : shape[2]].contiguous() for m, x in images.items()}
        )


def load_subjects(source: dict, data: Path) -> list[Subject]:
    """The subjects of one source of a training configuration (training/configs).

    source: {group, folders: [globs under `data`], images: {modality: file}, labels: file or null, priors: folder}.
    With `files` (a glob of label maps) instead of `folders`, each file is a subject without images.
    """
    exclude = {str(name) for name in source.get("exclude", [])}
    only = {str(name) for name in source.get("only", [])}
    subjects = []
    for path in sorted(data.glob(source["files"] if "files" in source else source["folders"])):
        name = path.name.split(".")[0]
        if name in exclude or (only and name not in only):
            continue
        files = {} if "files" in source else {m: path / f for m, f in source["images"].items()}
        labels = path if "files" in source else (path / source["labels"] if source.get("labels") else None)
        subjects.append(_load(f"{source['group']}/{name}", source["group"], files, labels))
    if not subjects:
        raise InputError(
            f"No training subject was found under {data} for '{source['group']}'; set DEEPMULTIMODALREG_DATA."
        )
    if subjects[0].labels is not None:
        _compact(subjects, data / source["priors"] if source.get("priors") else None)
    return subjects


def _load(name: str, group: str, files: dict[str, Path], labels: Path | None) -> Subject:
    grid, images, label_tensor = None, {}, None
    for modality, path in files.items():
        image, _ = read_image(path)
        grid = image.grid
        images[modality] = normalise(image.tensor)
    if labels is not None:
        image, _ = read_image(labels)
        grid = image.grid if grid is None else grid
        label_tensor = image.tensor.float()
    head = label_tensor if label_tensor is not None else next(iter(images.values()))
    inside = (head[0] > 0).nonzero()
    if not images:  # a label map alone is cropped to the head: it is held in memory as float32
        low, high = inside.amin(0), inside.amax(0) + 1
        label_tensor = label_tensor[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]].contiguous()
        grid = grid.cropped(tuple(low.flip(0).tolist()), tuple((high - low).flip(0).tolist()))
        inside = ((label_tensor[0] > 0) & (label_tensor[0] < EXTRA_CEREBRAL)).nonzero()
    index = inside.double().mean(0).flip(0)
    centre = grid.matrix[:3, :3] @ index + grid.matrix[:3, 3]
    return Subject(name, group, grid, images, label_tensor, None, centre)


def _compact(subjects: list[Subject], priors: Path | None) -> None:
    """Renumbers the labels of one group 0..L-1 and says what tissue each one is."""
    values = torch.cat([s.labels.unique() for s in subjects]).unique()
    for subject in subjects:
        subject.labels = torch.searchsorted(values, subject.labels).float()
    table = tissue_table(values, priors)
    for subject in subjects:
        subject.table = table


def tissue_table(values: Tensor, priors: Path | None) -> TissueTable:
    """The tissue classes of FreeSurfer-like label numbers; with `priors`, SynthSeg's files of T1 grey levels beside
    them."""
    brain = (values > 0) & (values < EXTRA_CEREBRAL)
    if priors is None:  # every label its own class
        n = values.numel()
        flat = torch.full((n,), 100.0)
        return TissueTable(torch.arange(n), flat, torch.full((n,), 50.0), torch.full((n,), 10.0), brain)
    labels = np.load(priors / "generation_labels.npy").tolist()
    classes = np.load(priors / "generation_classes_contrast_specific.npy").tolist()
    means, deviations = np.load(priors / "prior_means_t1.npy"), np.load(priors / "prior_stds_t1.npy")
    known = dict(zip(labels, classes, strict=True))
    cortex = known[3]
    tissue = torch.tensor([known.get(int(v), cortex if v else BACKGROUND_CLASS) for v in values])
    as_tensor = [torch.as_tensor(a, dtype=torch.float32) for a in (means[0], means[1], deviations[0])]
    return TissueTable(tissue, *as_tensor, brain)
