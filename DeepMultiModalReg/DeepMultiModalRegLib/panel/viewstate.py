"""ViewState: what the slice views showed and how, to be given back exactly."""

from __future__ import annotations

import vtk

_LAYERS = ("BackgroundVolumeID", "ForegroundVolumeID", "LabelVolumeID", "ForegroundOpacity", "LabelOpacity",
           "Compositing", "LinkedControl")  # fmt: skip


class ViewState:
    """Layers of every slice view, orientation and field of view, the layout, colours of the displays named."""

    def __init__(self, scene, volumes=()) -> None:
        self._layers = [
            (node, {name: getattr(node, f"Get{name}")() for name in _LAYERS})
            for node in nodes_of(scene, "vtkMRMLSliceCompositeNode")
        ]
        self._slices = []
        for node in nodes_of(scene, "vtkMRMLSliceNode"):
            matrix = vtk.vtkMatrix4x4()
            matrix.DeepCopy(node.GetSliceToRAS())
            pixels = node.GetDimensions()
            self._slices.append((node, matrix, node.GetFieldOfView(), node.GetXYZOrigin(), pixels))
        self._layouts = [(node, node.GetViewArrangement()) for node in nodes_of(scene, "vtkMRMLLayoutNode")]
        self._colours = []
        for volume in volumes:
            display = volume.GetDisplayNode() if volume is not None else None
            if display is not None:
                window = (display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel())
                self._colours.append((display, display.GetColorNodeID(), window))

    def restore(self, scene) -> None:
        """Everything as it was; what has left the scene since is left alone."""
        for node, arrangement in self._layouts:
            if node.GetScene() is scene and node.GetViewArrangement() != arrangement:
                node.SetViewArrangement(arrangement)
        for node, values in self._layers:
            if node.GetScene() is scene:
                for name, value in values.items():
                    if name.endswith("ID") and value and scene.GetNodeByID(value) is None:
                        value = None
                    if getattr(node, f"Get{name}")() != value:
                        getattr(node, f"Set{name}")(value)
        known = [node for node, _ in self._layers]
        for node in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
            if node not in known:  # a view of a layout that was not open before
                for name in ("Background", "Foreground", "Label"):
                    getattr(node, f"Set{name}VolumeID")(None)
                node.SetLinkedControl(False)
        for node, matrix, view, origin, pixels in self._slices:
            if node.GetScene() is scene:
                node.GetSliceToRAS().DeepCopy(matrix)
                node.UpdateMatrices()
                # the window gives a view its old size later, and the field of view grows or shrinks with it
                now = node.GetDimensions()
                across = [v * n / p if p > 0 and n > 0 else v for v, n, p in zip(view, now, pixels, strict=True)]
                node.SetFieldOfView(*across)
                node.SetXYZOrigin(*origin)
        for display, colour, (automatic, window, level) in self._colours:
            if display.GetScene() is scene:
                if display.GetColorNodeID() != colour:
                    display.SetAndObserveColorNodeID(colour)
                now = (display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel())
                if now != (automatic, window, level):
                    display.SetAutoWindowLevel(False)
                    display.SetWindowLevel(window, level)
                    display.SetAutoWindowLevel(automatic)


def nodes_of(scene, kind: str) -> list:
    return [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]
