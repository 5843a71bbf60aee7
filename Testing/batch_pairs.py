"""Small pairs, a list of them, a model with random weights and a worker without a process, for tests of the batch."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from fakes import phantom, write_tiny_model
from lattices import make_grid, rotation, sitk_image

from DeepMultiModalRegLib.batch import work, worker

MODEL = "hierarchical-t1t2-3d"


class Here:
    """A worker in this process: what a batch decides needs no other ones to be seen."""

    def __init__(self, events, threads, log, lock=None) -> None:
        self._events, self._threads, self.ready = events, threads, False
        events.put((self, {"event": "ready"}))

    def give(self, job: dict) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            worker._do(job, work.compute, lambda event, **facts: self._events.put((self, {"event": event, **facts})))
        finally:
            torch.set_num_threads(before)

    def end(self) -> None:
        pass


def write_pairs(folder: Path, count: int) -> list[dict[str, str]]:
    """count pairs in folder/images; rows of a list that names them, with ids."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(7)
    rows = []
    for n in range(count):
        fixed = make_grid((22, 20, 18), (2, 2.1, 1.9), tuple(random.uniform(-20, 20, 3)), rotation(8, -5, 4 * n))
        moving = make_grid((24, 22, 20), (2, 2, 2), (10, -40, 0), np.eye(3))
        shift = random.uniform(-3, 3, 3).tolist()
        names = f"images/f{n}.nrrd", f"images/m{n}.nii.gz"
        sitk.WriteImage(sitk.Cast(sitk_image(phantom(fixed)), sitk.sitkInt16), str(folder / names[0]))
        sitk.WriteImage(sitk.Cast(sitk_image(phantom(moving, shift=shift)), sitk.sitkUInt16), str(folder / names[1]))
        rows.append({"fixed": names[0], "moving": names[1], "id": f"p{n}"})
    return rows


def write_list(path: Path, rows: list[dict[str, str]]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
    return path


def write_models(folder: Path) -> Path:
    write_tiny_model(folder, MODEL)
    return folder


def results(folder: Path) -> dict[str, str]:
    """Every file of a batch's folder but those of log/, with its SHA-256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "log"
    }
