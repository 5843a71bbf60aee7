"""Composition and inversion of transforms."""

from __future__ import annotations

import torch

from .errors import InputError
from .grid import Grid
from .image import Image
from .transform import Affine, Composite, DenseField, Transform, split

ROOT_ROUNDS = 20  # of an iteration that doubles its digits each time


def compose(outer: Transform, inner: Transform, grid: Grid) -> Transform:
    """x -> outer(inner(x)). Exact where the outer one is affine; else sampled on `grid`, exact at its voxels.

    The result keeps the form Composite(dense, affine): with outer = A o (id + v) and inner = B o (id + u) it is
    (A B) o (id + w), where B (x + w) = inner(x) + v(inner(x)).
    """
    v, a = split(outer, grid.dimension)
    u, b = split(inner, grid.dimension)
    if v is None:
        return a @ b if u is None else Composite(u, a @ b)
    x = grid.points(torch.float64)
    y = inner.points(x)
    moved = v.to("cpu").points(y)
    w = b.inverse().points(moved) - x
    return Composite(DenseField(Image(torch.movedim(w, -1, 0).float(), grid)).closed(), a @ b)


def halfway(first: Affine, second: Affine) -> Affine:
    """The affine transform between two: first o (first^-1 o second)^(1/2), the same in either order, and the inverse of
    that between their inverses (the geometric mean; Arsigny et al. 2009). The square root by Denman and Beavers 1976.

    Raises InputError where one of them lies turned by 90 degrees or more to the other, or mirrored.
    """
    root = torch.linalg.solve(first.matrix, second.matrix)
    if (torch.linalg.eigvals(root).real <= 0).any():
        raise InputError("Nothing lies halfway between transforms 90 degrees or more apart, or mirrored.")
    other = torch.eye(len(root), dtype=root.dtype)
    for _ in range(ROOT_ROUNDS):
        root, other = (root + torch.linalg.inv(other)) / 2, (other + torch.linalg.inv(root)) / 2
    return Affine(first.matrix @ root)


def invert(
    transform: Transform, grid: Grid, iterations: int = 60, tolerance_mm: float = 1e-3
) -> tuple[Transform, dict[str, float]]:
    """The inverse on `grid` (a lattice in the moving image's space), and the round trip's error.

    Solves T(x) = y for every voxel y by x <- x - A^-1 (T(x) - y), whose fixed point is the inverse wherever T does not
    fold (Christensen and Johnson 2001; Chen et al. 2008); the step is halved where the residual grew.
    Returns (Composite(dense, A^-1) or Affine, {"mean", "max"} of |T(T^-1(y)) - y| in mm over the grid).
    """
    dense, affine = split(transform, grid.dimension)
    back = affine.inverse()
    if dense is None:
        return back, {"mean": 0.0, "max": 0.0}
    y = grid.points(torch.float32, dense.field.tensor.device)
    linear = back.linear.T.to(y)
    wanted = y.reshape(-1, grid.dimension)
    flat = back.points(wanted).clone()
    # only what has not arrived goes on: most voxels do within a few turns, and a turn reads the whole field at each
    active = torch.arange(len(flat), device=y.device)
    here, target = flat.clone(), wanted
    residual = transform.points(here) - target
    norm = residual.norm(dim=-1)
    step = torch.ones_like(norm)
    for _ in range(iterations):
        on = norm > tolerance_mm
        if not bool(on.any()):
            break
        flat[active] = here
        active, here, target, residual, norm, step = (v[on] for v in (active, here, target, residual, norm, step))
        trial = here - step[:, None] * (residual @ linear)
        trial_residual = transform.points(trial) - target
        trial_norm = trial_residual.norm(dim=-1)
        better = trial_norm < norm
        here = torch.where(better[:, None], trial, here)
        residual = torch.where(better[:, None], trial_residual, residual)
        norm = torch.where(better, trial_norm, norm)
        step = torch.where(better, (step * 1.5).clamp(max=1.0), step * 0.5)
    flat[active] = here
    u = affine.points(flat.reshape(y.shape)) - y
    inverse = Composite(DenseField(Image(torch.movedim(u, -1, 0).contiguous(), grid)).closed(), back)
    error = (transform.points(inverse.points(y)) - y).norm(dim=-1)
    return inverse, {"mean": float(error.mean()), "max": float(error.max())}
