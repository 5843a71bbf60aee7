"""Volume, label map and segmentation nodes as images in world space, and images as volume nodes."""

from __future__ import annotations

import numpy as np
import torch
import vtk
from vtk.util import numpy_support

from ..core import Grid, Image, InputError, sample
from ..engine.foreground import background
from ..io import PixelInfo
from .frames import (
    from_world,
    grid_of_lattice,
    grid_of_matrix,
    index_to_ras,
    matrix_from_vtk,
    parent_matrix,
    to_world,
    transformed,
)
from .nodes import NodeError, merged_segments

_VECTOR = "vtkMRMLVectorVolumeNode"
_SLAB_VOXELS = 1 << 21
_MOST_GROWTH = 4  # a bent volume's box may hold this many times its voxels before its spacing is raised


def image_in_node_space(node) -> Image:
    """A copy of the node's voxels (C, K, J, I) on its own lattice, its parents left out; LPS mm.

    Unsigned types that torch does not compute with come in the next type that holds them, as in io.
    Raises InputError for no node, no voxels, or a lattice that cannot place them.
    """
    if node is None or not node.IsA("vtkMRMLVolumeNode"):
        raise InputError("A volume is missing; choose a scalar volume or a label map.")
    data = node.GetImageData()
    if data is None or data.GetNumberOfPoints() == 0 or data.GetPointData().GetScalars() is None:
        raise InputError(f"The volume '{node.GetName()}' has no voxels; load it again or choose another one.")
    size = data.GetDimensions()
    array = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars())
    array = np.moveaxis(array.reshape(*size[::-1], -1), -1, 0)
    dtype = PixelInfo(array.dtype.name).in_memory
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    grid = grid_of_lattice(matrix_from_vtk(matrix), size)
    return Image(torch.from_numpy(np.array(array, dtype=dtype, order="C")), grid)


def image_from_node(node, mode: str | None = None) -> Image:
    """The volume as it lies in the WORLD, on the CPU: (C, K, J, I), LPS mm.

    Linear parents fold into the lattice exactly (it may come out sheared). A parent that bends space is resampled
    along the node's own axes at its own spacing, over the whole bent volume, with the background's value outside.
    mode: "linear" or "nearest", for that resampling; by default nearest for label maps. The node is not changed.
    """
    image = image_in_node_space(node)
    parents = parent_matrix(node)
    if parents is None:
        mode = mode or ("nearest" if node.IsA("vtkMRMLLabelMapVolumeNode") else "linear")
        return _unbent(image, to_world(node), from_world(node), mode)
    return Image(image.tensor, _moved(image.grid, parents))


def mask_from_node(node) -> Image:
    """(1, K, J, I) uint8 in the world: 1 in every segment of a segmentation, or where a volume is above zero."""
    if node is not None and node.IsA("vtkMRMLSegmentationNode"):
        return _mask_of_segments(node)
    image = image_from_node(node, "nearest")
    return Image((image.tensor > 0).any(0, keepdim=True).to(torch.uint8), image.grid)


def pixel_of(node) -> PixelInfo:
    """The number type of the node's voxels."""
    return PixelInfo(numpy_support.vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()).dtype.name)


def node_from_image(
    image: Image, scene, name: str, node=None, pixel: PixelInfo | None = None, labelmap: bool = False, like=None
):
    """A volume node of a 3D image, in LPS mm of the world; `node`, if given, is filled instead.

    pixel: the number type, rounded and clamped to it; by default the tensor's own. labelmap: as a label map. An image
    of several channels becomes a vector volume. like: a volume node on whose lattice the image lies; the new one takes
    over its place in the transform hierarchy, so that it moves with it and shows no shear of its own. Raises InputError
    for a 2D image, and for a `node` that cannot hold the image's channels.
    """
    if image.grid.dimension != 3:
        raise InputError("Slicer's volumes are 3D; give such an image.")
    vector = image.channels > 1
    if vector and node is not None and not node.IsA(_VECTOR):
        raise InputError(f"'{node.GetName()}' cannot hold {image.channels} channels; choose a vector volume.")
    tensor = image.tensor.detach().cpu()
    array = torch.movedim(tensor, 0, -1) if vector else tensor[0]
    array = (array.float() if array.dtype in (torch.bfloat16, torch.float16) else array).numpy()
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if pixel is not None:
        array = pixel.convert(array)
    data = vtk.vtkImageData()
    data.SetDimensions(image.grid.size)
    flat = np.ascontiguousarray(array).reshape((-1, image.channels) if vector else -1)
    data.GetPointData().SetScalars(numpy_support.numpy_to_vtk(flat, deep=True))
    grid, parent = image.grid, None
    if like is not None and parent_matrix(like) is not None:
        own = image_lattice(like)
        if _moved(own, parent_matrix(like)).same_as(grid):
            grid, parent = own, like.GetTransformNodeID()
    if node is None:
        kind = "vtkMRMLLabelMapVolumeNode" if labelmap else _VECTOR if vector else "vtkMRMLScalarVolumeNode"
        node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(index_to_ras(grid).flatten().tolist())
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(parent)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(data)
    node.EndModify(modifying)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    return node


def check_holds(output, node) -> None:
    """Raises InputError where the `output` volume (a node, True for a new one, False or None) cannot hold the channels
    of `node`."""
    if output in (True, False, None) or node.GetImageData() is None:
        return
    if node.GetImageData().GetNumberOfScalarComponents() > 1 and not output.IsA(_VECTOR):
        name = node.GetName()
        raise InputError(f"'{output.GetName()}' cannot hold the channels of '{name}'; choose a vector volume.")


def image_lattice(node) -> Grid:
    """The node's own lattice, its parents left out; LPS mm."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return grid_of_lattice(matrix_from_vtk(matrix), node.GetImageData().GetDimensions())


def _moved(grid: Grid, matrix: torch.Tensor) -> Grid:
    """The lattice after an affine map of space, (4, 4) LPS."""
    return grid_of_matrix(matrix @ grid.matrix, grid.size)


def _unbent(image: Image, to_world: vtk.vtkAbstractTransform, from_world: vtk.vtkAbstractTransform, mode: str) -> Image:
    grid = _box_of(image.grid, to_world)
    fill = 0.0 if mode == "nearest" else background(image)
    back = image.grid.inverse_matrix
    rows = max(1, _SLAB_VOXELS // max(1, grid.voxels // grid.shape[0]))
    slabs = []
    for first in range(0, grid.shape[0], rows):
        part = grid.cropped((0, 0, first), (*grid.size[:2], min(rows, grid.shape[0] - first)))
        points = transformed(from_world, part.points(torch.float64))
        index = (points @ back[:3, :3].T + back[:3, 3]).float()
        slabs.append(sample(image.tensor if mode == "nearest" else image.tensor.float(), index, mode, fill))
    return Image(torch.cat(slabs, 1), grid)


def _box_of(grid: Grid, to_world: vtk.vtkAbstractTransform) -> Grid:
    """The lattice along the same axes that covers where `to_world` puts the lattice's voxels."""
    steps = [torch.linspace(-0.5, n - 0.5, min(n + 1, 40), dtype=torch.float64) for n in grid.size]
    index = torch.cartesian_prod(*steps)
    points = transformed(to_world, index @ grid.matrix[:3, :3].T + grid.matrix[:3, 3])
    index = points @ grid.inverse_matrix[:3, :3].T + grid.inverse_matrix[:3, 3]
    low = torch.floor(index.amin(0) + 0.5).long().tolist()
    high = torch.ceil(index.amax(0) - 0.5).long().tolist()
    box = grid.cropped(tuple(low), tuple(h - a + 1 for a, h in zip(low, high, strict=True)))
    growth = box.voxels / grid.voxels / _MOST_GROWTH
    return box if growth <= 1 else box.respaced(tuple(s * growth ** (1 / 3) for s in box.spacing))


def _mask_of_segments(node) -> Image:
    """All segments of a segmentation in one, from a copy: the node keeps the representations it has."""
    try:
        array, ras = merged_segments(node)
    except NodeError as error:
        raise InputError(str(error)) from error
    grid = grid_of_lattice(torch.from_numpy(ras), array.shape[::-1])
    image = Image(torch.from_numpy((array > 0).astype(np.uint8))[None], grid)
    parents = parent_matrix(node)
    if parents is None:
        return _unbent(image, to_world(node), from_world(node), "nearest")
    return Image(image.tensor, _moved(grid, parents))
