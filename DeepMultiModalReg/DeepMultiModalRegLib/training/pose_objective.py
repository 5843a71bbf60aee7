"""Objective of the network that finds poses: places of voxels, the pose that follows from them, and equivariance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..methods.equivariant_volume import UNIT_MM, EquivariantVolume, block_points, fit
from .pose_sampler import PoseBatch

OUTSIDE = 0.4  # weight of tissue outside the brain: neck and jaw move, and faces are cut off
FAR = 0.6  # template mm / UNIT_MM at which an error of the whole pose counts less and less: early on all are far
CORNERS = torch.tensor([[x, y, z] for x in (-60.0, 60.0) for y in (-80.0, 80.0) for z in (-50.0, 50.0)])


class PoseObjective:
    """weights: places, sureness, brain, pose, equivariance. `each` poses of one head lie side by side in a batch."""

    def __init__(self, method: EquivariantVolume, weights: dict[str, float], each: int) -> None:
        self.method, self.weights, self.each = method, weights, each

    def terms(self, batch: PoseBatch) -> dict[str, Tensor]:
        coordinates, spread, brain = self.method.places(batch.images)
        away = (coordinates - batch.places).abs().sum(-1) / UNIT_MM  # (N, M)
        mass = batch.shown * OUTSIDE + batch.brain * (1 - OUTSIDE)
        mass = mass / mass.sum(1, keepdim=True).clamp(min=1)
        known = batch.known / batch.known.sum().clamp(min=1)
        # Laplace's law: what the network says of its own error learns from the error, not the other way round
        sure = away.detach() / (spread.exp() + 1e-3) + 3 * spread
        points = block_points(tuple(batch.images.shape[2:]), coordinates)
        matrix, _, _ = fit(points, coordinates, spread.detach(), brain.detach())
        apart = corner_distance(matrix, batch.matrix) / UNIT_MM
        return {
            "places": (known * (mass * away).sum(1)).sum(),
            "sureness": (mass * sure).sum(1).mean(),
            "brain": F.binary_cross_entropy_with_logits(brain, batch.brain.float()),
            "pose": (known * apart / (apart + FAR)).sum(),
            "equivariance": self._equivariance(matrix, batch),
        }

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        return sum(self.weights[name] * value for name, value in terms.items())

    def _equivariance(self, matrix: Tensor, batch: PoseBatch) -> Tensor:
        """R(I∘B) against B^-1 R(I), on the head: both poses of a head, each carried back to the subject's space."""
        home = matrix @ torch.linalg.inv(batch.lattice)  # subject's LPS mm to template mm, which all poses share
        true = batch.matrix @ torch.linalg.inv(batch.lattice)
        groups = home.reshape(-1, self.each, 4, 4)
        apart = corner_distance(groups[:, :1], groups[:, 1:], true.reshape(-1, self.each, 4, 4)[:, 1:]) / UNIT_MM
        known = batch.known.reshape(-1, self.each)
        both = known[:, :1] * known[:, 1:]
        return (both * apart / (apart + FAR)).sum() / both.sum().clamp(min=1)


def corner_distance(one: Tensor, other: Tensor, true: Tensor | None = None) -> Tensor:
    """Mean distance (mm) of where two maps (..., 4, 4) to the template send the corners of the brain's box.

    true: the map that says where those corners lie in the maps' own space; `other` where it is not given.
    """
    corners = F.pad(CORNERS, (0, 1), value=1.0).T
    there = torch.linalg.solve(other if true is None else true, corners.expand(*other.shape[:-1], corners.shape[-1]))
    return ((one - other) @ there)[..., :3, :].norm(dim=-2).mean(-1)
