"""Affine: the affine correction with which two images of features agree best, step by step, on coarse lattices."""

from __future__ import annotations

import torch
from torch import Tensor

from .objective import Quadratic
from .solve import entries

STEPS = 20  # at most on each level
GAIN = 1e-3  # relative fall of the objective below which a level ends
LONGEST = 1.0  # voxels a step may move a point: the model holds no further
DAMPING = 1e-3  # of the mean curvature, added to every freedom's


def nearest_affine(objective, matrix: Tensor) -> tuple[Tensor, list[float]]:
    """(matrix, the objective before and after each step that gained): minimises `objective` over affine displacements.

    objective: of one volume or image, see `SquaredDifference`; matrix: (D + 1, D + 1) float64 from the objective's
    voxels I, J(, K) to such voxels: where to begin. Gauss and Newton's step over the D (D + 1) freedoms, taken in the
    fixed image's space before what was found so far; a step that gains nothing is halved twice, then it ends.
    """
    d = len(objective.shape)
    points = _points(objective.shape).to(matrix)
    middle = points.mean(1)
    scale = float((points - middle[:, None]).square().sum(0).mean().sqrt().clamp(min=1.0))
    lever = torch.cat([(points - middle[:, None]) / scale, torch.ones_like(points[:1])]).float()  # (D + 1, V)
    now = objective.around(_displacement(matrix, points, objective.shape))
    trail, length = [float(now.energy)], 1.0
    for _ in range(STEPS):
        step = _step(now, lever, d)
        reach = float((step @ lever).norm(dim=0).max())
        step = (length * min(1.0, LONGEST / max(reach, 1e-9)) * step).to(matrix)
        moved = torch.eye(d + 1, dtype=matrix.dtype)
        moved[:d, :d] += step[:, :d] / scale
        moved[:d, d] = step[:, d] - step[:, :d] @ middle / scale
        trial = matrix @ moved
        then = objective.around(_displacement(trial, points, objective.shape))
        gained = (trail[-1] - float(then.energy)) / max(trail[-1], 1e-12)
        if gained > 0:
            matrix, now, length = trial, then, min(1.0, 2 * length)
            trail.append(float(then.energy))
            if gained < GAIN:
                break
        elif length < 0.5:
            break
        else:
            length /= 2
    return matrix, trail


def _step(now: Quadratic, lever: Tensor, d: int) -> Tensor:
    """(D, D + 1): the affine displacement, of levers, that the quadratic model asks for."""
    curvature, slope = now.curvature[0].flatten(1), now.slope[0].flatten(1)
    pairs = entries(d + 1)
    products = torch.stack([lever[a] * lever[b] for a, b in pairs])
    sums = curvature @ products.T  # (D (D + 1) / 2, pairs)
    whole = torch.zeros(d, d + 1, d, d + 1, dtype=torch.float64)
    for row, (i, j) in enumerate(entries(d)):
        for column, (a, b) in enumerate(pairs):
            value = sums[row, column].double()
            for p, q in {(i, j), (j, i)}:
                for r, s in {(a, b), (b, a)}:
                    whole[p, r, q, s] = value
    whole = whole.reshape(d * (d + 1), -1)
    right = (slope @ lever.T).double().reshape(-1)
    whole += (DAMPING * whole.diagonal().mean() + 1e-9) * torch.eye(len(whole), dtype=torch.float64)
    return -torch.linalg.solve(whole, right).reshape(d, d + 1).float()


def _points(shape: tuple[int, ...]) -> Tensor:
    """(D, V): the index I, J(, K) of every voxel."""
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    return torch.stack([x.flatten() for x in torch.meshgrid(*axes, indexing="ij")[::-1]])


def _displacement(matrix: Tensor, points: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(1, D, *shape) float32 voxels."""
    d = len(shape)
    moved = matrix[:d, :d] @ points + matrix[:d, d:] - points
    return moved.float().reshape(1, d, *shape)
