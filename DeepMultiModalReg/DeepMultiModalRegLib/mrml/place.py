"""Where a result belongs: transforms from the world's points to a node's own, whatever its parents."""

from __future__ import annotations

import torch

from ..core import Affine, Composite, Grid, Image, Transform, resample, split
from .frames import between, from_world, parent_matrix, to_world, transformed
from .transform import from_vtk, sampled
from .volume import image_in_node_space

SAMPLED_MM = 2.0  # spacing at which a parent that bends space is written into a transform


def in_node_space(transform: Transform, node, grid: Grid) -> Transform:
    """x -> from_world(transform(x)): as the parent of `node` it shows at x what lies at transform(x) now.

    Exact for linear parents; one that bends space is sampled over `grid` at SAMPLED_MM or coarser.
    """
    parents = parent_matrix(node)
    if parents is None:
        back = from_world(node)
        return sampled(lambda x: transformed(back, transform.points(x)), _coarse(grid))
    dense, affine = split(transform, 3)
    after = Affine(parents).inverse() @ affine
    return after if dense is None else Composite(dense, after)


def start_of_node(start_node, moving_node, grid: Grid) -> Transform:
    """A transform node as the start: x -> to_world(start(x)), world to world, as if it were put on the moving volume.

    The parent that the moving volume already has gives the identity.
    """
    if start_node.GetID() == moving_node.GetTransformNodeID():
        return Affine.identity(3)
    general = between(None, start_node)
    parents = parent_matrix(moving_node)
    if parents is None:
        forward = to_world(moving_node)
        return sampled(lambda x: transformed(forward, transformed(general, x)), _coarse(grid))
    start = from_vtk(general, _coarse(grid))
    dense, affine = split(start, 3)
    after = Affine(parents) @ affine
    return after if dense is None else Composite(dense, after)


def resampled_node(node, grid: Grid, local: Transform, fill: float, mode: str = "linear") -> Image:
    """The node's voxels, read once, on a lattice of the world; `local` is from the world to the node's own space.
    mode: "linear" or "nearest"."""
    return resample(image_in_node_space(node), grid, local, mode, fill)


def largest_difference(transform: Transform, local: Transform, node, grid: Grid) -> float:
    """mm between what `local` says and the exact chain, at points of `grid` that were not sampled."""
    size = torch.tensor(grid.size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    index = torch.rand(2000, 3, generator=generator, dtype=torch.float64) * (size - 1)
    x = index @ grid.matrix[:3, :3].T + grid.matrix[:3, 3]
    exact = transformed(from_world(node), transform.points(x))
    return float((local.points(x) - exact).norm(dim=1).max())


def _coarse(grid: Grid) -> Grid:
    return grid.respaced(
        tuple(max(SAMPLED_MM, s) if n > 1 else s for s, n in zip(grid.spacing, grid.size, strict=True))
    )
