"""Job: a folder that says what a child process shall register, and holds what it found. Plain arrays and JSON.

    job.json      settings; for each image its file and where it lies; the start
    *.npy         voxels, (K, J, I) or (C, K, J, I)
    events.jsonl  one JSON object a line from the child: progress, done, error (see `engine.worker`)
    log.txt       whatever else the child prints
    result.json   transforms, report; again with .npy beside it

Matrices are lists of rows. `ras` (index to the node's own RAS mm) and `parent` (own RAS to world RAS mm) place a volume
as Slicer does; `grid` (size, spacing, origin, direction in LPS mm) as the library does.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..mrml.nodes import SLAB_BYTES
from .words import PanelError
from .words import tr as _

PREFIX = "deepmultimodalreg-job-"


class Job:
    """The folder and its files. close() removes it, unless it shall be kept."""

    def __init__(self, keep: bool = False) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        except OSError as error:
            raise PanelError(
                _("No temporary folder can be made ({reason}); free space on the disk.").format(reason=error.strerror)
            ) from error
        self.keep = keep
        self._settings: dict = {}

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def set(self, **settings: object) -> None:
        """Adds JSON-able settings to job.json, which `write` puts on the disk."""
        self._settings |= settings

    def place(self, role: str, array: np.ndarray, where: dict) -> Iterator[None]:
        """Writes an image's voxels in slabs and yields between them; `where` holds ras and parent, or grid."""
        path = self.folder / f"{role}.npy"
        try:
            file = np.lib.format.open_memmap(path, mode="w+", dtype=array.dtype, shape=array.shape)
            flat, source = file.reshape(-1), np.ascontiguousarray(array).reshape(-1)
            step = max(1, SLAB_BYTES // array.dtype.itemsize)
            for first in range(0, flat.size, step):
                flat[first : first + step] = source[first : first + step]
                yield
            file.flush()
        except OSError as error:
            raise PanelError(
                _("The images cannot be copied to {folder} ({reason}); free space on the disk.").format(
                    folder=self.folder, reason=error.strerror
                )
            ) from error
        self._settings[role] = {"file": path.name, **where}

    def write(self) -> None:
        """Puts job.json on the disk: the job is complete."""
        (self.folder / "job.json").write_text(json.dumps(self._settings), encoding="utf-8")

    def result(self) -> dict:
        """What the child found. Raises PanelError when there is nothing."""
        try:
            return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PanelError(
                _("The computation ended without a result; look at the log and try again."), 5, str(error)
            ) from error

    def array(self, name: str) -> np.ndarray:
        """An array of the result, mapped into memory."""
        return np.load(self.folder / name, mmap_mode="r")

    def close(self) -> None:
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
