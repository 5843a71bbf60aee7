"""Nodes as arrays and matrices, and arrays as nodes, by NumPy and VTK alone: Slicer's window never waits for torch.

All matrices are (4, 4) in RAS mm, as Slicer has them, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .words import NodeError
from .words import tr as _

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
SLAB_BYTES = 16 << 20  # copied at once: a few milliseconds


def matrix_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def vtk_matrix(array: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=float).flatten().tolist())
    return matrix


def index_to_ras(node) -> np.ndarray:
    """Index (I, J, K, 1) to the node's own space."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix_array(matrix)


def parent_to_world(node) -> np.ndarray | None:
    """The node's own space to the world; None where a parent bends space."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return matrix_array(matrix)


def between(source, target) -> vtk.vtkGeneralTransform:
    """From the space under the transform node `source` to the one under `target` (RAS); None stands for the world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return transform


def voxels(node) -> np.ndarray:
    """The node's voxels, (K, J, I) or (C, K, J, I); shares memory where it can. Raises NodeError without voxels."""
    data = node.GetImageData()
    if data is None or data.GetNumberOfPoints() == 0 or data.GetPointData().GetScalars() is None:
        raise NodeError(
            _("The volume '{name}' has no voxels; load it again or choose another one.").format(name=node.GetName())
        )
    array = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars())
    shape = data.GetDimensions()[::-1]
    return array.reshape(shape) if array.ndim == 1 else np.moveaxis(array.reshape(*shape, -1), -1, 0)


def merged_segments(node) -> tuple[np.ndarray, np.ndarray]:
    """All segments as one label image (K, J, I) and its index to own RAS; from a copy, the node stays as it is."""
    copy = slicer.vtkMRMLSegmentationNode()
    copy.GetSegmentation().DeepCopy(node.GetSegmentation())
    segmentation = copy.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if segmentation.GetNumberOfSegments() == 0 or not segmentation.CreateRepresentation(name):
        raise NodeError(
            _("The segmentation '{name}' has no segment; draw one, or leave it out.").format(name=node.GetName())
        )
    merged = slicer.vtkOrientedImageData()
    copy.GenerateMergedLabelmapForAllSegments(merged, slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS)
    size = merged.GetDimensions()
    if min(size) < 1 or merged.GetPointData().GetScalars() is None:
        raise NodeError(
            _("The segmentation '{name}' is empty; draw a segment, or leave it out.").format(name=node.GetName())
        )
    array = numpy_support.vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(size[::-1]).copy()
    matrix = vtk.vtkMatrix4x4()
    merged.GetImageToWorldMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = merged.GetExtent()[::2]  # its voxels need not begin at index 0
    return array, matrix_array(matrix) @ first


def image_data(array: np.ndarray) -> vtk.vtkImageData:
    """Voxels (K, J, I) copied into a vtkImageData."""
    *_slabs, data = image_data_in_slabs(array)
    return data


def image_data_in_slabs(array: np.ndarray) -> Iterator[vtk.vtkImageData | None]:
    """As image_data, SLAB_BYTES at a time: yields None between them and the whole at the end, so that a window lives
    on while a large volume is copied."""
    data = vtk.vtkImageData()
    data.SetDimensions(array.shape[::-1])
    scalars = numpy_support.create_vtk_array(numpy_support.get_vtk_array_type(array.dtype))
    scalars.SetNumberOfTuples(array.size)
    target = numpy_support.vtk_to_numpy(scalars).reshape(array.shape)  # a view
    rows = max(1, SLAB_BYTES // max(1, array[:1].nbytes))
    for first in range(0, len(array), rows):
        target[first : first + rows] = array[first : first + rows]
        yield None
    data.GetPointData().SetScalars(scalars)
    yield data


def fill_volume(node, data: vtk.vtkImageData, like) -> None:
    """Puts voxels that lie on the lattice of `like` into a volume node, under the same parent."""
    matrix = vtk.vtkMatrix4x4()
    like.GetIJKToRASMatrix(matrix)
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(data)
    node.EndModify(modifying)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()


def show_as(node, like) -> None:
    """The same window and level as the volume it is compared with."""
    source, display = like.GetDisplayNode(), node.GetDisplayNode()
    if source is not None and display is not None and hasattr(source, "GetWindow"):
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(source.GetWindow(), source.GetLevel())


def window_of(node) -> tuple[float, float]:
    """(black, white): the intensities between which the volume is shown."""
    display = node.GetDisplayNode()
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def vtk_transform(field: np.ndarray | None, grid: dict | None, affine: np.ndarray) -> vtk.vtkAbstractTransform:
    """x -> affine(x + field(x)), as VTK has it in RAS.

    field: (3, K, J, I) LPS mm on `grid` (size, spacing, origin, direction; LPS); affine: (4, 4) LPS.
    """
    linear = vtk.vtkTransform()
    linear.SetMatrix(vtk_matrix(FLIP @ affine @ FLIP))
    if field is None:
        return linear
    grid_transform = _grid_transform(field, grid)
    if np.array_equal(affine, np.eye(4)):
        return grid_transform
    both = vtk.vtkGeneralTransform()
    both.PostMultiply()
    both.Concatenate(grid_transform)
    both.Concatenate(linear)
    return both


def _grid_transform(field: np.ndarray, grid: dict):
    scalars = vtk.vtkDoubleArray()
    scalars.SetNumberOfComponents(3)
    scalars.SetNumberOfTuples(int(np.prod(grid["size"])))
    scalars.SetName("displacement")
    vectors = numpy_support.vtk_to_numpy(scalars).reshape(*field.shape[1:], 3)  # a view: written once, not copied
    for axis, sign in enumerate((-1.0, -1.0, 1.0)):
        np.multiply(field[axis], sign, out=vectors[..., axis])
    data = vtk.vtkImageData()
    data.SetDimensions(grid["size"])
    data.SetSpacing(grid["spacing"])
    data.SetOrigin((FLIP[:3, :3] @ np.array(grid["origin"])).tolist())
    data.GetPointData().SetScalars(scalars)
    axes = np.eye(4)
    axes[:3, :3] = FLIP[:3, :3] @ np.array(grid["direction"]).reshape(3, 3)
    out = slicer.vtkOrientedGridTransform()
    out.SetInterpolationModeToLinear()  # ITK's; Slicer's loader chooses cubic, hundredths of a millimetre away
    out.SetDisplacementGridData(data)
    out.SetGridDirectionMatrix(vtk_matrix(axes))
    return out


def fill_transform(node, transform: vtk.vtkAbstractTransform, fixed, moving) -> None:
    """Makes `transform` the node's transform from parent, with references to both volumes, or none (DICOM export needs
    them). Raises NodeError for a node that is limited to another kind of transform."""
    kinds = ("vtkMRMLLinearTransformNode", "vtkMRMLGridTransformNode", "vtkMRMLBSplineTransformNode")
    kind = node.GetClassName()
    if kind in kinds and not (kind == kinds[0] and isinstance(transform, vtk.vtkTransform)):
        raise NodeError(
            _(
                "The output transform '{name}' holds only one kind of transform ({kind}); choose or create a general "
                "transform (vtkMRMLTransformNode)."
            ).format(name=node.GetName(), kind=kind[7:-13])
        )
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)  # the transform is the whole way from the world
    node.SetAndObserveTransformFromParent(transform)
    for role, volume in ((node.GetFixedNodeReferenceRole(), fixed), (node.GetMovingNodeReferenceRole(), moving)):
        node.SetNodeReferenceID(role, None if volume is None else volume.GetID())
    node.EndModify(modifying)
