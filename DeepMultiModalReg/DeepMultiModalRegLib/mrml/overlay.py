"""Pictures that tell whether a registration is right: blend, checkerboard, warped grid, rows of volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..core import Image, InputError
from .board import checkerboard as squares
from .board import shades
from .plain_view import PlainView
from .views import ORIENTATIONS, SliceView, can_draw, show_grid


class Overlays:
    """Draws pairs of volume nodes in axial, coronal and sagittal slices through one point.

    application: the scene's vtkMRMLApplicationLogic. centre: RAS mm. width_mm: across each picture.
    By Slicer's slice views where the machine can draw (`drawn_by` says), else computed. The scene is left as it was.
    """

    def __init__(
        self, application, centre: Sequence[float], width_mm: float = 225.0, size: tuple[int, int] = (320, 300),
        slicer_views: bool | None = None,
    ) -> None:  # fmt: skip
        self._application = application
        self._centre = tuple(float(c) for c in centre)
        self._width = width_mm
        self._size = size
        self._real = can_draw() if slicer_views is None else slicer_views

    @property
    def drawn_by(self) -> str:
        return "Slicer's slice views" if self._real else "NumPy (no off-screen OpenGL here)"

    def volume(self, node) -> list[np.ndarray]:
        """One picture (height, width, 3) uint8 per orientation."""
        return self._each(lambda view: view.show(node))

    def blend(self, fixed, moving, opacity: float = 0.5, add: bool = False) -> list[np.ndarray]:
        """Both volumes as they lie in the world: misplaced edges show twice."""
        return self._each(lambda view: view.show(fixed, moving, opacity, add))

    def grid(self, volume, transform_node, spacing_mm: float = 12.0) -> list[np.ndarray]:
        """A volume under the grid that the transform bends."""
        if not self._real:
            return self._each(lambda view: (view.show(volume), view.grid(transform_node, spacing_mm)))
        scene = transform_node.GetScene()
        had = transform_node.GetDisplayNode()
        before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
        if had is not None:
            raise InputError(f"'{transform_node.GetName()}' is on display already; remove its display node first.")
        show_grid(transform_node, volume, spacing_mm)
        try:
            return self._each(lambda view: view.show(volume))
        finally:
            after = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
            for node in after:
                if node.GetID() not in before:
                    scene.RemoveNode(node)

    def _each(self, prepare) -> list[np.ndarray]:
        pictures = []
        for orientation in ORIENTATIONS:
            make = (SliceView, self._application) if self._real else (PlainView,)
            with make[0](*make[1:], orientation, self._size) as view:
                view.look_at(self._centre, self._width)
                prepare(view)
                pictures.append(view.pixels())
        return pictures


def checkerboard(first: Image, second: Image, ranges, square_mm: float = 25.0) -> Image:
    """Squares of both images in turn, (1, K, J, I) uint8, each in its own window; on one lattice.

    ranges: (low, high) intensity of black and white for each. (Slicer has no such mode: show this as a volume.)
    """
    if not first.grid.same_as(second.grid):
        raise InputError("Both images of a checkerboard must lie on one lattice; resample one on the other first.")
    pairs = zip((first, second), ranges, strict=True)
    grey = [shades(image.tensor[0].cpu().numpy(), *window) for image, window in pairs]
    return first.with_tensor(torch.from_numpy(squares(*grey, first.grid.spacing, square_mm))[None])
