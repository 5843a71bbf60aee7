"""Slicer's RAS against the library's LPS, and points through VTK transforms. The one place where signs change."""

from __future__ import annotations

import numpy as np
import slicer
import torch
import vtk
from torch import Tensor
from vtk.util import numpy_support

from ..core import Grid, InputError

_FLIP = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
_SLAB = 1 << 20  # points handed to VTK at once


def matrix_from_vtk(matrix: vtk.vtkMatrix4x4) -> Tensor:
    """(4, 4) float64 with the same numbers."""
    return torch.tensor([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)], dtype=torch.float64)


def matrix_to_vtk(matrix: Tensor) -> vtk.vtkMatrix4x4:
    """The same numbers as a vtkMatrix4x4."""
    out = vtk.vtkMatrix4x4()
    out.DeepCopy([float(v) for v in matrix.flatten()])
    return out


def switched(matrix: Tensor) -> Tensor:
    """A (4, 4) map of RAS to RAS points as one of LPS to LPS points, and the other way round."""
    return _FLIP @ matrix @ _FLIP


def grid_of_lattice(ras: Tensor, size: tuple[int, ...]) -> Grid:
    """The lattice whose index (I, J, K, 1) goes to RAS mm by `ras` (4, 4), in LPS."""
    return grid_of_matrix(_FLIP @ ras, size)


def grid_of_matrix(matrix: Tensor, size: tuple[int, ...]) -> Grid:
    """The lattice whose index (I, J, K, 1) goes to LPS mm by `matrix` (4, 4), sheared or not."""
    spacing = matrix[:3, :3].norm(dim=0)
    if not torch.isfinite(matrix).all() or bool((spacing == 0).any()):
        raise InputError("The volume's spacing or axes are zero or not finite; correct them in the Volumes module.")
    axes = (matrix[:3, :3] / spacing).flatten().tolist()
    return Grid(size, tuple(spacing.tolist()), tuple(matrix[:3, 3].tolist()), tuple(axes))


def index_to_ras(grid: Grid) -> Tensor:
    """(4, 4): index (I, J, K, 1) of a 3D lattice to RAS mm."""
    return _FLIP @ grid.matrix


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
    parent = node.GetParentTransformNode()
    if parent is None:
        return torch.eye(4, dtype=torch.float64)
    if not parent.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return switched(matrix_from_vtk(matrix))


def to_world(node) -> vtk.vtkGeneralTransform:
    """The node's own space to the world (RAS), through all its parents."""
    return between(node.GetParentTransformNode(), None)


def from_world(node) -> vtk.vtkGeneralTransform:
    """The world to the node's own space (RAS), through all its parents."""
    return between(None, node.GetParentTransformNode())


def between(source, target) -> vtk.vtkGeneralTransform:
    """From the space under the transform node `source` to the one under `target` (RAS); None stands for the world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return transform
