"""Transforms as Slicer's transform nodes and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import slicer
import torch
import vtk
from torch import Tensor
from vtk.util import numpy_support

from ..core import Affine, Composite, DenseField, Grid, Image, InputError, Transform, split
from . import nodes
from .frames import grid_of_lattice, matrix_from_vtk, switched, transformed


def node_from_transform(transform: Transform, scene, name: str, fixed_node=None, moving_node=None, node=None):
    """One vtkMRMLTransformNode whose transform FROM parent is `transform` (3D): put on the moving volume, it shows the
    moving image on the fixed one. `node`, if given, is filled instead. References to both volumes are set.

    Raises InputError for a 2D transform, and for a `node` that is limited to another kind of transform.
    """
    whole = to_vtk(transform)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTransformNode", scene.GenerateUniqueName(name))
    try:
        nodes.fill_transform(node, whole, fixed_node, moving_node)
    except nodes.NodeError as error:
        raise InputError(str(error)) from error
    return node


def transform_from_node(node, grid: Grid | None = None) -> Transform:
    """The node's transform from parent, LPS mm: what node_from_transform was given.

    Exact for an affine, a displacement grid (linear between its voxels, ITK's meaning), and a grid followed by an
    affine. Anything else (B-splines, inverses of grids, longer chains) is sampled on `grid`; without one, InputError.
    """
    return from_vtk(node.GetTransformFromParent(), grid)


def to_vtk(transform: Transform) -> vtk.vtkAbstractTransform:
    """The same map of points in RAS: vtkTransform, vtkOrientedGridTransform, or both in a vtkGeneralTransform."""
    if transform.dimension != 3:
        raise InputError("Slicer's transforms are 3D; register volumes, or save a 2D transform to a file.")
    dense, affine = split(transform, 3)
    matrix = affine.matrix.detach().cpu().numpy()
    if dense is None:
        return nodes.vtk_transform(None, None, matrix)
    return nodes.vtk_transform(dense.field.tensor.detach().cpu().numpy(), asdict(dense.field.grid), matrix)


def from_vtk(transform: vtk.vtkAbstractTransform, grid: Grid | None = None) -> Transform:
    """The same map of points in LPS; see transform_from_node."""
    parts = vtk.vtkCollection()
    slicer.vtkMRMLTransformNode.FlattenGeneralTransform(parts, transform)
    total: Transform = Affine.identity(3)
    for part in [parts.GetItemAsObject(i) for i in range(parts.GetNumberOfItems())]:
        dense, affine = split(total, 3)
        if isinstance(part, vtk.vtkLinearTransform):
            after = Affine(switched(matrix_from_vtk(part.GetMatrix()))) @ affine
            total = after if dense is None else Composite(dense, after)
        elif _is_plain_grid(part) and dense is None and _is_identity(affine):
            total = _from_grid(part)
        elif grid is None:
            raise InputError(
                "This transform is neither an affine nor a displacement grid followed by one; "
                "say on which lattice it shall be sampled."
            )
        else:
            return sampled(lambda points: transformed(transform, points), grid)
    return total


def sampled(points: Callable[[Tensor], Tensor], grid: Grid) -> Composite:
    """Any map of LPS points as Composite(dense on `grid`, its best affine); exact at the grid's voxels."""
    x = grid.points(torch.float64)
    y = points(x)
    ones = torch.ones(grid.voxels, 1, dtype=torch.float64)
    known = torch.cat([x.reshape(-1, 3) - grid.centre, ones], 1)
    if min(grid.size) > 1:
        solution = torch.linalg.lstsq(known, y.reshape(-1, 3)).solution
        linear = solution[:3].T
        affine = Affine.from_parts(linear, solution[3] - linear @ grid.centre)
    else:  # a slice does not say what happens across it
        shift = (y - x).reshape(-1, 3).mean(0)
        affine = Affine.from_parts(torch.eye(3, dtype=torch.float64), shift)
    u = affine.inverse().points(y) - x
    return Composite(DenseField(Image(torch.movedim(u, -1, 0).float().contiguous(), grid)).closed(), affine)


def _from_grid(part) -> DenseField:
    data = part.GetDisplacementGrid()
    size = data.GetDimensions()
    array = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars()).reshape(*size[::-1], 3).astype(np.float64)
    array = (array * part.GetDisplacementScale() + part.GetDisplacementShift()) * np.array([-1.0, -1.0, 1.0])
    matrix = torch.eye(4, dtype=torch.float64)
    if part.GetGridDirectionMatrix() is not None:
        matrix = matrix_from_vtk(part.GetGridDirectionMatrix()).clone()
    matrix[:3, :3] *= torch.tensor(data.GetSpacing(), dtype=torch.float64)
    matrix[:3, 3] = torch.tensor(data.GetOrigin(), dtype=torch.float64)
    tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0))).float()
    return DenseField(Image(tensor, grid_of_lattice(matrix, size)))


def _is_plain_grid(part) -> bool:
    return isinstance(part, slicer.vtkOrientedGridTransform) and not part.GetInverseFlag()


def _is_identity(affine: Affine) -> bool:
    return torch.equal(affine.matrix, torch.eye(4, dtype=torch.float64))
