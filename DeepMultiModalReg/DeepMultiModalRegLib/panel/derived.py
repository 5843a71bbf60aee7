"""Derived volumes: another volume on the fixed lattice, checkerboard, difference. NumPy and VTK."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from . import nodes


def between(source_parent, target_parent) -> vtk.vtkGeneralTransform:
    """From the space under one transform node to that under another (RAS); None is the world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source_parent, target_parent, transform)
    return transform


def on_fixed_lattice(node, fixed) -> np.ndarray:
    """(K, J, I): the volume where it lies in the world now, on the lattice of `fixed`; its own lowest value outside."""
    same = node.GetTransformNodeID() == fixed.GetTransformNodeID()
    if same and np.allclose(nodes.index_to_ras(node), nodes.index_to_ras(fixed), atol=1e-4):
        if node.GetImageData().GetDimensions() == fixed.GetImageData().GetDimensions():
            return nodes.voxels(node)
    return resliced(
        node.GetImageData(), nodes.index_to_ras(node),
        between(fixed.GetParentTransformNode(), node.GetParentTransformNode()), fixed,
        fill=node.GetImageData().GetScalarRange()[0],
    )  # fmt: skip


def resliced(data, ras: np.ndarray, way: vtk.vtkAbstractTransform, fixed, nearest: bool = False, fill: float = 0.0):
    """(K, J, I) of the fixed lattice: `data`, whose index goes to its space by `ras`, at way(points of the lattice).

    way: from the space under the fixed volume's parent to that of `data` (RAS).
    """
    source = vtk.vtkImageData()
    source.ShallowCopy(data)
    source.SetOrigin(0.0, 0.0, 0.0)
    source.SetSpacing(1.0, 1.0, 1.0)
    whole = vtk.vtkGeneralTransform()
    whole.PostMultiply()
    whole.Concatenate(nodes.vtk_matrix(nodes.index_to_ras(fixed)))
    whole.Concatenate(way)
    whole.Concatenate(nodes.vtk_matrix(np.linalg.inv(ras)))
    size = fixed.GetImageData().GetDimensions()
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(source)
    reslice.SetResliceTransform(whole)
    reslice.SetOutputOrigin(0.0, 0.0, 0.0)
    reslice.SetOutputSpacing(1.0, 1.0, 1.0)
    reslice.SetOutputExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    reslice.SetBackgroundLevel(fill)
    reslice.SetBorder(True)
    if nearest:
        reslice.SetInterpolationModeToNearestNeighbor()
    else:
        reslice.SetInterpolationModeToLinear()
    reslice.Update()
    return numpy_support.vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars()).reshape(size[::-1])


def shades(array: np.ndarray, display) -> np.ndarray:
    """Grey values in [0, 255] as the volume's window and level show them."""
    low, window = display.GetWindowLevelMin(), max(display.GetWindow(), 1e-6)
    return np.clip((array.astype(np.float32) - low) / window, 0, 1) * 255


def checkerboard(first: np.ndarray, second: np.ndarray, spacing, square_mm: float = 25.0) -> np.ndarray:
    """Squares of two grey images (K, J, I) in turn, uint8; `spacing` is I, J, K in mm."""
    parity = np.zeros(first.shape, dtype=np.int64)
    for axis, (n, step) in enumerate(zip(first.shape[::-1], spacing, strict=True)):
        square = np.floor((np.arange(n) - (n - 1) / 2) * step / square_mm).astype(np.int64)
        parity = parity + square.reshape(-1, *([1] * axis))
    return np.where(parity % 2 == 0, first, second).round().astype(np.uint8)
