"""Points and parents of Slicer's nodes (RAS) in the library's LPS, through VTK transforms."""

from __future__ import annotations

import numpy as np
import torch
import vtk
from torch import Tensor
from vtk.util import numpy_support

from ..core.ras import grid_of_lattice, grid_of_matrix, index_to_ras, switched
from .nodes import between, matrix_array, parent_to_world, vtk_matrix

__all__ = [
    "between", "from_world", "grid_of_lattice", "grid_of_matrix", "index_to_ras", "matrix_from_vtk", "matrix_to_vtk",
    "parent_matrix", "switched", "to_world", "transformed",
]  # fmt: skip

_SLAB = 1 << 20  # points handed to VTK at once


def matrix_from_vtk(matrix: vtk.vtkMatrix4x4) -> Tensor:
    """(4, 4) float64 with the same numbers."""
    return torch.from_numpy(matrix_array(matrix))


def matrix_to_vtk(matrix: Tensor) -> vtk.vtkMatrix4x4:
    """The same numbers as a vtkMatrix4x4."""
    return vtk_matrix(matrix.numpy())


def transformed(transform: vtk.vtkAbstractTransform, points: Tensor) -> Tensor:
    """(..., 3) LPS mm through a VTK transform that works in RAS; float64."""
    flat = points.detach().double().cpu().reshape(-1, 3) * torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    flat = flat.numpy()
    out = np.empty_like(flat)
    for first in range(0, len(flat), _SLAB):
        source, target = vtk.vtkPoints(), vtk.vtkPoints()
        source.SetDataTypeToDouble()
        target.SetDataTypeToDouble()
        part = np.ascontiguousarray(flat[first : first + _SLAB])
        source.SetData(numpy_support.numpy_to_vtk(part))
        transform.TransformPoints(source, target)
        out[first : first + _SLAB] = numpy_support.vtk_to_numpy(target.GetData())
    out[:, :2] *= -1
    return torch.from_numpy(out).reshape(points.shape)


def parent_matrix(node) -> Tensor | None:
    """(4, 4) LPS: the node's own space to the world, or None where a parent transform bends space."""
    matrix = parent_to_world(node)
    return None if matrix is None else switched(torch.from_numpy(matrix))


def to_world(node) -> vtk.vtkGeneralTransform:
    """The node's own space to the world (RAS), through all its parents."""
    return between(node.GetParentTransformNode(), None)


def from_world(node) -> vtk.vtkGeneralTransform:
    """The world to the node's own space (RAS), through all its parents."""
    return between(None, node.GetParentTransformNode())
