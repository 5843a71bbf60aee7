"""Where a drawn lattice lies over a subject: random turns, the ends of the field of view, the visible body."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..engine.foreground import threshold
from .deformation import uniform
from .pose_subjects import PoseSubject


def random_rotation(least: float, most: float, generator: torch.Generator) -> Tensor:
    """(3, 3) float64: even over all rotations whose angle lies between `least` and `most` degrees."""
    top = math.radians(most)
    while True:  # the density of the angle over all rotations is 1 - cos
        angle = uniform(math.radians(least), top, generator, 1).item()
        if torch.rand((), generator=generator).item() * (1 - math.cos(top)) <= 1 - math.cos(angle):
            break
    axis = torch.randn(3, generator=generator).double()
    axis = axis / axis.norm() * angle
    x, y, z = axis.tolist()
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))


def lattice_index(n: int) -> Tensor:
    """(n, n, n, 3): index I, J, K less the middle's."""
    line = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij")[::-1], -1)


def sampled_at(mm: Tensor, subject: PoseSubject, shape: tuple[int, ...]) -> Tensor:
    """LPS mm (M, 3) to grid_sample's coordinates (1, *shape, 3) on the subject's lattice."""
    inverse = subject.grid.inverse_matrix
    scale = 2 / torch.tensor(subject.grid.size, dtype=torch.float64)
    linear, shift = inverse[:3, :3] * scale[:, None], (inverse[:3, 3] + 0.5) * scale - 1
    return (mm @ linear.T.float() + shift.float()).reshape(1, *shape, 3)


def view_planes(subject: PoseSubject, cut: bool, generator: torch.Generator) -> Tensor:
    """(P, 4): none, or one or two ends of the field of view, near the axes of the head, some tilted."""
    if not cut:
        return torch.zeros(0, 4)
    frame = subject.to_template.double()
    rows = []
    for _ in range(1 + int(torch.rand((), generator=generator) < 0.4)):
        normal = torch.zeros(3)
        axis = int(torch.multinomial(torch.tensor([1.0, 1.0, 2.0]), 1, generator=generator))
        sign = 1.0 if torch.rand((), generator=generator) < 0.4 else -1.0
        normal[axis] = sign
        normal = normal + torch.randn(3, generator=generator) * 0.2
        normal = normal / normal.norm()
        reach = uniform(15, 75, generator, 1).item()  # template mm from the brain's middle
        # n . (A x + t) > reach in the subject's mm
        rows.append(torch.cat([frame[:3, :3].T.float() @ normal, (reach - normal @ frame[:3, 3].float())[None]]))
    return torch.stack(rows)


def visible_body(grey: Tensor, subject: PoseSubject, planes: Tensor) -> Tensor:
    """The visible voxels above the engine's threshold, thinned, as LPS mm (N, 3)."""
    thin = grey[0, 0, ::2, ::2, ::2]
    index = torch.nonzero(thin > threshold(thin[None])).flip(-1).double() * 2
    mm = index @ subject.grid.matrix[:3, :3].T + subject.grid.matrix[:3, 3]
    keep = torch.ones(len(mm), dtype=torch.bool)
    for plane in planes:
        keep &= mm @ plane[:3].double() <= plane[3]
    return mm[keep] if int(keep.sum()) > 50 else mm
