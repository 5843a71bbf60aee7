"""Derived volumes: another volume on the fixed lattice, on what grid they lie. NumPy and VTK."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util import numpy_support

from ..mrml import nodes
from ..mrml.nodes import between


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
