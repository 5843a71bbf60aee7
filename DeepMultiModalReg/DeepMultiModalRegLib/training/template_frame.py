"""Template frame: one space (LPS mm, origin in the middle of the brain) for all subjects, from their labels alone."""

from __future__ import annotations

import torch
from torch import Tensor

# FreeSurfer's numbers; left lies at positive L
PAIRS = {2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 26: 58, 28: 60}
MIDDLE = (14, 15, 16)
# the silver labels count both sides as one: their number to the left one here
SILVER = {1: 2, 2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 10, 8: 11, 9: 12, 10: 13, 11: 14, 12: 15, 13: 16, 14: 17, 15: 18,
          16: 26, 17: 28}  # fmt: skip
LEAST_VOXELS = 10
# centres of gravity of the Harvard-Oxford subcortical structures on the left in MNI space, RAS mm
MNI = {10: (-11, -19, 6), 11: (-13, 9, 10), 12: (-25, 0, 0), 13: (-19, -5, -1), 17: (-26, -23, -14), 18: (-23, -5, -18),
       26: (-10, 12, -7), 16: (0, -30, -34)}  # fmt: skip


def freesurfer(silver: Tensor, points: Tensor) -> Tensor:
    """Silver label numbers (*shape) to FreeSurfer's, sides told apart by the middle of the brain; points (*shape, 3)
    LPS mm of an upright head."""
    middle = points[..., 0][silver > 0].median()
    left = points[..., 0] > middle
    out = torch.zeros_like(silver)
    for number, name in SILVER.items():
        here = silver == number
        out[here & left] = name
        out[here & ~left] = PAIRS.get(name, name)
    return out


def centroids(labels: Tensor, points: Tensor) -> dict[int, Tensor]:
    """Label number to the middle (3,) of its voxels; labels (*shape) integers, points (*shape, 3) LPS mm."""
    found = {}
    for number in (*PAIRS, *PAIRS.values(), *MIDDLE):
        inside = labels == number
        if int(inside.sum()) >= LEAST_VOXELS:
            found[number] = points[inside].double().mean(0)
    return found


def mni_centroids() -> dict[int, Tensor]:
    """Label number to its middle in MNI space, LPS mm, both sides."""
    found = {}
    for number, (r, a, s) in MNI.items():
        found[number] = torch.tensor([-r, -a, s], dtype=torch.float64)
        found[PAIRS.get(number, number)] = torch.tensor([r, -a, s], dtype=torch.float64)
    return found


def template_centroids(subjects: list[dict[int, Tensor]]) -> dict[int, Tensor]:
    """The mean of several upright subjects' centroids, made symmetric, its origin in the middle of all of them."""
    shared = sorted(set.intersection(*(set(s) for s in subjects)))
    stacked = torch.stack([torch.stack([s[n] for n in shared]) for s in subjects])
    mean = (stacked - stacked.mean(1, keepdim=True)).mean(0)
    for _ in range(3):  # each brought to the mean by its best affine, so that their own shapes average
        ways = torch.stack([least_squares(s, mean) for s in stacked])
        mean = torch.stack([moved(way, s) for way, s in zip(ways, stacked, strict=True)]).mean(0)
        mean = torch.linalg.solve(ways[:, :3, :3].mean(0), mean.T).T  # size, shape and tilt stay the subjects' mean
        mean = mean - mean.mean(0)
    template = {n: mean[i] for i, n in enumerate(shared)}
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=mean.dtype)
    other = {**PAIRS, **{b: a for a, b in PAIRS.items()}}
    return {n: (p + mirror * template.get(other.get(n, n), p)) / 2 for n, p in template.items()}


def to_template(found: dict[int, Tensor], template: dict[int, Tensor]) -> Tensor:
    """(4, 4): subject's LPS mm to template mm, the affine that best sends its centroids to the template's."""
    shared = sorted(set(found) & set(template))
    return least_squares(torch.stack([found[n] for n in shared]), torch.stack([template[n] for n in shared]))


def least_squares(points: Tensor, places: Tensor) -> Tensor:
    """(4, 4): the affine map of (N, 3) points to (N, 3) places."""
    ones = torch.cat([points, torch.ones_like(points[:, :1])], 1)
    matrix = torch.eye(4, dtype=points.dtype)
    matrix[:3] = torch.linalg.lstsq(ones, places).solution.T
    return matrix


def moved(matrix: Tensor, points: Tensor) -> Tensor:
    """(..., 3) points through a (4, 4) matrix."""
    return points @ matrix[:3, :3].T.to(points) + matrix[:3, 3].to(points)
