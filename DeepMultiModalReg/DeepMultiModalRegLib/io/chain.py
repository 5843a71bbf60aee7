"""Several transforms, one after the other, as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch

from ..core import Affine, Composite, DenseField, Grid, Image, InputError, Transform, compose
from ..core.transform import split

_MOST_VOXELS = 4_000_000


def chain(parts: Sequence[Transform]) -> Transform:
    """x -> parts[-1](... parts[0](x)): the parts in the order in which they are applied.

    Exact while at most one part is dense; the second dense one is composed on a lattice that covers both fields.
    """
    if len({part.dimension for part in parts}) != 1:
        raise InputError("The parts of a transform must all be 2D or all be 3D.")
    return reduce(_after, parts)


def _after(inner: Transform, outer: Transform) -> Transform:
    """x -> outer(inner(x)) in the form Affine, DenseField or Composite(dense, affine)."""
    d = inner.dimension
    inner_dense, inner_affine = split(inner, d)
    outer_dense, outer_affine = split(outer, d)
    if outer_dense is None:
        both = outer_affine @ inner_affine
        return both if inner_dense is None else Composite(inner_dense, both)
    if inner_dense is None:
        if torch.equal(inner_affine.matrix, Affine.identity(d).matrix):
            return outer
        return Composite(_pulled_back(outer_dense, inner_affine), outer_affine @ inner_affine)
    pulled = _pulled_back(outer_dense, inner_affine)
    grid = _covering(inner_dense.field.grid, pulled.field.grid)
    return compose(outer, inner, grid)


def _pulled_back(dense: DenseField, affine: Affine) -> DenseField:
    """The field w with affine(x + w(x)) = dense(affine(x)): w(x) = L^-1 u(affine(x)), L the affine's linear part.

    On the lattice that the affine maps onto the field's own it is exact, for linear interpolation and the zero outside
    commute with an affine map.
    """
    own = dense.field.grid
    back = affine.inverse()
    matrix = back.matrix @ own.matrix
    lengths = matrix[:-1, :-1].norm(dim=0)
    grid = Grid(own.size, tuple(lengths.tolist()), tuple(matrix[:-1, -1].tolist()),
                tuple((matrix[:-1, :-1] / lengths).flatten().tolist()))
    u = dense.field.tensor
    return DenseField(Image(torch.einsum("dc,c...->d...", back.linear.to(u), u), grid))


def _covering(first: Grid, second: Grid) -> Grid:
    """A lattice along the LPS axes over both, as fine as the finer one as far as memory allows."""
    corners = torch.cat([first.corners(), second.corners()])
    low, high = corners.amin(0), corners.amax(0)
    spacing = min(*first.spacing, *second.spacing)
    extent = (high - low).clamp(min=spacing)
    while torch.prod(extent / spacing + 1) > _MOST_VOXELS:
        spacing *= 1.25
    size = tuple(int(n) + 1 for n in torch.ceil(extent / spacing))
    return Grid.regular(size, spacing, (low + high) / 2)
