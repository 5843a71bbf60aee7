"""Slicer's own slice views, drawn off screen."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # before VTK makes its first window

import numpy as np  # noqa: E402
import slicer  # noqa: E402
import vtk  # noqa: E402
from vtk.util import numpy_support  # noqa: E402

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
_PROBE = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render(); print(w.SupportsOpenGL())"


@cache
def can_draw() -> bool:
    """Whether this machine draws off screen. Tried in a child process: without a driver VTK may end the process."""
    if hasattr(slicer, "app"):
        return True
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=180, env=dict(os.environ)
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip().endswith("1")


class SliceView:
    """One slice view: what Slicer's window would show, as an array of pixels.

    size: (width, height) in pixels. node: the slice node of a view that the scene has (Red ...), drawn as it stands;
    without one, a view of its own in that orientation. The nodes that it makes leave the scene with close().
    """

    def __init__(
        self, application, orientation: str = "Axial", size: tuple[int, int] = (320, 320), node=None
    ) -> None:  # fmt: skip
        self.scene = application.GetMRMLScene()
        self.size = size
        known = {self.scene.GetNthNode(i).GetID() for i in range(self.scene.GetNumberOfNodes())}
        self.node = node or self._own_node(orientation)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application)
        self.logic.SetMRMLScene(self.scene)
        self.logic.SetSliceNode(self.node)
        self._application = application
        application.GetSliceLogics().AddItem(self.logic)
        self._window = self._make_window(application)
        logic = self.logic
        made = [logic.GetSliceCompositeNode(), logic.GetSliceModelNode(), logic.GetSliceModelDisplayNode()]
        made += [logic.GetSliceModelTransformNode(), self.node]
        self._made = [node for node in made if node is not None and node.GetID() not in known]

    def _own_node(self, orientation: str):
        node = self.scene.CreateNodeByClass("vtkMRMLSliceNode")  # with the orientations of the scene's default
        node.UnRegister(None)
        name = self.scene.GenerateUniqueName(f"Picture {orientation}")
        node.SetName(name)
        node.SetLayoutName(name)
        self.scene.AddNode(node)
        node.SetOrientation(orientation)
        return node

    def _make_window(self, application) -> vtk.vtkRenderWindow:
        self._renderer = vtk.vtkRenderer()
        window = vtk.vtkRenderWindow()
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)
        window.SetSize(*self.size)
        window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()  # displayable managers need one, though nobody interacts
        self._interactor.SetRenderWindow(window)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application)
        for name in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = factory.InstantiateDisplayableManagers(self._renderer)
        self._managers.SetMRMLDisplayableNode(self.node)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(actor)
        return window

    def show(self, background, foreground=None, opacity: float = 0.5, add: bool = False) -> None:
        """Volume nodes as layers. add: sum of both colours (green and magenta give white) instead of a blend."""
        layers = self.logic.GetSliceCompositeNode()
        layers.SetBackgroundVolumeID(background.GetID())
        layers.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
        layers.SetForegroundOpacity(opacity if foreground is not None else 0.0)
        layers.SetCompositing(layers.Add if add else layers.Alpha)

    def look_at(self, ras: tuple[float, float, float], width_mm: float) -> None:
        """The slice through a point (RAS mm), which lies in the picture's middle; width_mm across the picture."""
        width, height = self.size
        self.node.SetDimensions(width, height, 1)
        self.node.SetFieldOfView(width_mm, width_mm * height / width, 1.0)
        self.node.JumpSliceByCentering(*ras)
        self.node.UpdateMatrices()

    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8, top row first."""
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())  # another one after each change of layers
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        data = grabber.GetOutput()
        array = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars())
        width, height, _ = data.GetDimensions()
        return array.reshape(height, width, -1)[::-1, :, :3].copy()

    def close(self) -> None:
        """Takes the view's nodes out of the scene."""
        self._managers.SetMRMLDisplayableNode(None)
        self._application.GetSliceLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)  # first: while it watches the scene it makes its nodes anew
        for node in self._made:
            if node.GetScene() is not None:
                self.scene.RemoveNode(node)

    def __enter__(self) -> SliceView:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def show_grid(transform_node, region, spacing_mm: float = 12.0, colour=(1.0, 0.85, 0.2)):
    """The transform as a warped grid in every slice view, where `region` (a volume node) lies. Its display node."""
    transform_node.CreateDefaultDisplayNodes()
    display = transform_node.GetDisplayNode()
    display.SetAndObserveRegionNode(region)
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetGridSpacingMm(spacing_mm)
    display.SetGridResolutionMm(spacing_mm / 4)
    display.SetGridLineDiameterMm(0.6)
    display.SetColor(*colour)
    display.SetColorMap(_one_colour(colour))
    display.SetVisibility(True)
    display.SetVisibility2D(True)
    return display


def _one_colour(colour) -> vtk.vtkColorTransferFunction:
    table = vtk.vtkColorTransferFunction()
    for millimetres in (0.0, 100.0):
        table.AddRGBPoint(millimetres, *colour)
    return table
