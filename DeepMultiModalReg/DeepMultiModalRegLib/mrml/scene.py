"""A Slicer scene without the Slicer application: for scripts, the demo and the tests."""

from __future__ import annotations

import os
import shutil
import zipfile
from contextlib import chdir
from pathlib import Path

from ..core import InputError
from ..io import replacing
from .bare_scene import BareScene


class HeadlessScene(BareScene):
    """A scene that reads and writes files, with errors that a user can act on."""

    def load_volume(self, path: str | os.PathLike, name: str | None = None, labelmap: bool = False):
        """A volume node of an image file (NIfTI, NRRD, MetaImage ...). Raises InputError when Slicer cannot read it."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"The image {path} does not exist; check its name and folder.")
        node = self.volumes.AddArchetypeVolume(str(path), name or path.name.split(".")[0], 1 if labelmap else 0)
        if node is None:
            raise InputError(f"Slicer cannot read {path} as a volume; convert it to NRRD or NIfTI.")
        return node

    def save(self, path: str | os.PathLike) -> None:
        """The whole scene as one .mrb file. Raises InputError when it cannot be written."""
        with replacing(path) as temporary:
            with chdir(os.curdir):  # packing leaves the process in a folder it has deleted
                written = self.scene.WriteToMRB(str(temporary))
            if not written:
                raise InputError(f"The scene {path} cannot be written; check the folder and the free space.")
            _squeeze(temporary)

    def read(self, path: str | os.PathLike) -> None:
        """Adds what a .mrb file holds. Raises InputError when it cannot be read."""
        with chdir(os.curdir):  # unpacking changes the working folder too
            done = Path(path).is_file() and self.scene.ReadFromMRB(str(path))
        if not done:
            raise InputError(f"The scene {path} cannot be read; check that it is a .mrb file saved by Slicer.")


def _squeeze(path: Path) -> None:
    """Slicer stores a .mrb's parts as they are; transforms shrink to half when they are deflated, and read the same."""
    squeezed = path.with_name(f"{path.name}.squeezed")
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for name in source.namelist():
            with source.open(name) as read, target.open(name, "w", force_zip64=True) as write:
                shutil.copyfileobj(read, write, 1 << 20)
    os.replace(squeezed, path)


def save_node(node, path: str | os.PathLike) -> Path:
    """Writes a volume or transform node by Slicer's own writers, whole or not at all; the ending of `path` says how.

    (slicer.util.saveNode needs the application.) Raises InputError when the file cannot be written.
    """
    with replacing(path) as temporary:
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(str(temporary))
        try:
            if not storage.WriteData(node):
                raise InputError(f"Slicer cannot write '{node.GetName()}' as {path}; check the ending of its name.")
        finally:
            storage.SetFileName(str(path))
    return Path(path)
