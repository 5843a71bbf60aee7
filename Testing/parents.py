"""Parent transforms for tests with MRML nodes, and what Slicer itself says about places in the world."""

from __future__ import annotations

import numpy as np
import slicer
import torch
import vtk
from lattices import affine_near, smooth_field

from DeepMultiModalRegLib.core import Affine, Grid
from DeepMultiModalRegLib.mrml.transform import node_from_transform

KINDS = ("none", "rotated", "sheared", "two linear", "bent", "bent and rotated")


def parent_of(kind: str, scene, grid: Grid):
    """A transform node of that kind about `grid`, or None."""
    if kind == "none":
        return None
    turned = affine_near(grid, 20.0, 6.0)
    shear = torch.eye(4, dtype=torch.float64)
    shear[0, 1], shear[2, 0], shear[:3, 3] = 0.3, -0.2, torch.tensor([3.0, -2.0, 1.0])
    wide = grid.cropped((-8,) * 3, tuple(n + 16 for n in grid.size))
    parts = {
        "rotated": [turned],
        "sheared": [Affine(shear)],
        "two linear": [turned, Affine(shear)],
        "bent": [smooth_field(wide, 1.5).closed()],
        "bent and rotated": [smooth_field(wide, 1.5).closed(), turned],
    }[kind]
    above = None
    for part in parts:
        node = node_from_transform(part, scene, kind)
        node.SetAndObserveTransformNodeID(None if above is None else above.GetID())
        above = node
    return above


def world_of_local(node, points: np.ndarray) -> np.ndarray:
    """(N, 3) RAS points of the node's own space in the world, point by point, by Slicer."""
    general = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, general)
    return np.array([general.TransformPoint(p) for p in points])


def lps(points: np.ndarray) -> np.ndarray:
    return points * np.array([-1.0, -1.0, 1.0])
