"""A Slicer scene without the Slicer application: for scripts, the demo and the tests."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
import zipfile
from contextlib import chdir
from pathlib import Path

# Off-screen drawing without a display; must be set before VTK makes its first window.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer  # noqa: E402
import vtk  # noqa: E402

from ..core import InputError  # noqa: E402
from ..io import replacing  # noqa: E402


class HeadlessScene:
    """The real MRML scene and logics of slicer-core, wired as the application wires them.

    Becomes `slicer.mrmlScene`, so that the functions of slicer.util work. Keep the object as long as the scene is used:
    it owns the cache folder and the logics.
    """

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="deepmultimodalreg-")
        self._cleaner = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.scene = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self._cache = slicer.vtkCacheManager()
        self._cache.SetRemoteCacheDirectory(folder)
        self._cache.SetMRMLScene(self.scene)
        self.scene.SetCacheManager(self._cache)
        self._data_io = slicer.vtkDataIOManager()  # reading a .mrb needs one
        self._data_io.SetCacheManager(self._cache)
        self.scene.SetDataIOManager(self._data_io)
        colors = self.application.GetColorLogic()
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        self.application.SetModuleLogic("Colors", colors)
        self.application.SetSliceLogics(vtk.vtkCollection())
        self.application.SetViewLogics(vtk.vtkCollection())
        self.volumes = self._module("Volumes", slicer.vtkSlicerVolumesLogic())
        self.segmentations = self._module("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        slicer.mrmlScene = self.scene

    def _module(self, name: str, logic):
        logic.SetMRMLApplicationLogic(self.application)  # before the scene, or the logic misses its colours
        logic.SetMRMLScene(self.scene)
        self.application.SetModuleLogic(name, logic)
        return logic

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
