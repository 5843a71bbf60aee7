"""The real MRML scene and logics of slicer-core, wired as the application wires them. No torch."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

# Off-screen drawing without a display; must be set before VTK makes its first window.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer  # noqa: E402
import vtk  # noqa: E402


class BareScene:
    """Becomes `slicer.mrmlScene`, so that the functions of slicer.util work. Keep the object as long as the scene is
    used: it owns the cache folder and the logics.
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

    def add_views(self, names: tuple[str, ...] = ("Red", "Green", "Yellow", "Slice4")) -> None:
        """The nodes of the slice views and of their layout, which the application's window would make."""
        for name in names:
            for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
                node = self.scene.CreateNodeByClass(kind)
                node.UnRegister(None)
                node.SetSingletonTag(name)
                node.SetName(name)
                node.SetLayoutName(name)
                self.scene.AddNode(node)
        layout = slicer.vtkMRMLLayoutNode()
        layout.SetSingletonTag("vtkMRMLLayoutNode")
        self.scene.AddNode(layout)
