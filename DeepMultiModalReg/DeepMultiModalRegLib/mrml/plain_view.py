"""The stand-in for SliceView on machines that cannot draw: the same pictures, computed with NumPy."""

from __future__ import annotations

import numpy as np
import torch
import vtk
from torch import Tensor

from ..core import sample
from .frames import from_world, transformed
from .volume import image_in_node_space

# the picture's directions to the right and down, in LPS: as Slicer's presets, radiological
_AXES = {
    "Axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "Coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "Sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
}
_LINE = np.array([255.0, 217.0, 51.0])


class PlainView:
    """show, look_at, pixels and close as SliceView has them; grid() draws what SliceView draws by a display node."""

    def __init__(self, orientation: str = "Axial", size: tuple[int, int] = (320, 320)) -> None:
        self.size = size
        right, down = _AXES[orientation]
        self._right, self._down = (torch.tensor(axis, dtype=torch.float64) for axis in (right, down))
        self._layers: list[tuple[object, float]] = []
        self._add = False
        self._grid = None
        self._centre, self._pitch = torch.zeros(3, dtype=torch.float64), 1.0

    def show(self, background, foreground=None, opacity: float = 0.5, add: bool = False) -> None:
        self._layers = [(background, 1.0)] + ([] if foreground is None else [(foreground, opacity)])
        self._add = add

    def grid(self, transform_node, spacing_mm: float = 12.0) -> None:
        """A grid of the space under the transform node, as it bends on the way to the world; None takes it away."""
        self._grid = None if transform_node is None else (transform_node, spacing_mm)

    def look_at(self, ras: tuple[float, float, float], width_mm: float) -> None:
        self._centre = torch.tensor([-ras[0], -ras[1], ras[2]], dtype=torch.float64)
        self._pitch = width_mm / self.size[0]

    def pixels(self) -> np.ndarray:
        points = self._points()
        out = np.zeros((*points.shape[:2], 3))
        for n, (node, opacity) in enumerate(self._layers):
            layer = _coloured(node, points)
            out = out + layer if self._add and n else out * (1 - opacity) + layer * opacity
        if self._grid is not None:
            lines = self._lines(points)[..., None]
            out = out * (1 - lines) + _LINE * lines
        return np.clip(out, 0, 255).round().astype(np.uint8)

    def close(self) -> None:
        self._layers = []

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _points(self) -> Tensor:
        """(height, width, 3) LPS mm."""
        width, height = self.size
        across = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) * self._pitch
        along = (torch.arange(height, dtype=torch.float64) - (height - 1) / 2) * self._pitch
        return self._centre + across[None, :, None] * self._right + along[:, None, None] * self._down

    def _lines(self, points: Tensor) -> np.ndarray:
        """(height, width): 1 where a grid line of the moving space passes."""
        node, spacing = self._grid
        own = transformed(node.GetTransformFromParent(), points) - self._centre
        lines = torch.zeros(points.shape[:2], dtype=torch.float64)
        for axis in (self._right, self._down):
            coordinate = (own * axis).sum(-1)
            slope = torch.stack(torch.gradient(coordinate)).norm(dim=0).clamp(min=1e-6)
            distance = (coordinate - spacing * torch.round(coordinate / spacing)).abs() / slope
            lines = torch.maximum(lines, (1.2 - distance).clamp(0, 1))
        return lines.numpy()


def _coloured(node, points: Tensor) -> np.ndarray:
    """(height, width, 3) float, 0 to 255: the node's voxels at LPS points of the world, in its own colours."""
    image = image_in_node_space(node)
    own = transformed(from_world(node), points)
    index = own @ image.grid.inverse_matrix[:3, :3].T + image.grid.inverse_matrix[:3, 3]
    voxels = image.tensor[:1].float()
    values = sample(voxels, index[None].float(), "linear", float(voxels.min()))[0, 0].numpy()
    display = node.GetDisplayNode()
    low = display.GetLevel() - display.GetWindow() / 2
    shade = np.clip((values - low) / max(display.GetWindow(), 1e-6), 0, 1)
    colours = display.GetColorNode()
    table = colours.GetLookupTable() if colours is not None else None
    if not isinstance(table, vtk.vtkLookupTable):
        return shade[..., None] * np.full(3, 255.0)
    entries = np.array([table.GetTableValue(i)[:3] for i in range(table.GetNumberOfTableValues())]) * 255
    return entries[np.round(shade * (len(entries) - 1)).astype(int)]
