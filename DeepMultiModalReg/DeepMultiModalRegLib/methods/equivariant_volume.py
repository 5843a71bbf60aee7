"""Equivariant, in three dimensions: one look at one volume says where it lies in a common template.

After Hachicha, Le, Wargnier-Dauchelle and Sdika (MILLanD 2023), who regress the six numbers of a 2D affine: an image
I brought into any other pose by B must give R(I∘B) = B^-1 R(I). Twelve regressed numbers over all rotations in space
learn slowly, and nothing keeps them from a mirrored answer. Here the network says for every voxel where it lies in the
template (as the object coordinates of Wang et al., CVPR 2019), so that every voxel teaches, and the twelve numbers
follow in closed form (networks.affine_fit) with det > 0 by construction. Nor has one network to know every pose: it
learns places for turns up to about 75 degrees and to be unsure beyond; a lattice that is a cube turns onto itself in 24
ways without interpolation, one of which is always within 63 degrees of upright, and the surest answer is taken. The
answer is then equivariant under these turns by construction. The lattice is scaled by the body's size, so that a
newborn's brain and a large head look alike: any size of image will do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import InputError
from ..networks.affine_fit import fit_affine
from ..networks.cube import cube_turns, turned
from ..networks.locator import Locator
from .base import Method, MethodOutput

UNIT_MM = 100.0  # template millimetres that the network's coordinates count as one
STRETCH = (2.0, 16.0)  # template mm to a voxel of the lattice
TOLERANCE_MM = 20.0  # residual at which a voxel's word is halved


@dataclass
class Located:
    """matrix: (N, 4, 4) lattice index (I, J, K) minus the lattice's middle to template LPS mm. doubt: (N,), what the
    network expects to be off (mm) and its voxels' disagreement with one affine map (mm); small is sure."""

    matrix: Tensor
    doubt: Tensor


class EquivariantVolume(Method):
    """Where volumes lie: `scan` in any pose, `locate` near the upright one. As a method for pairs it gives the affine
    displacement from one to the other.

    body_voxels: the body's root-mean-square radius in voxels of the lattice of a scan; brain_mm: template mm to a voxel
    of an upright look. Both are as in training.
    """

    multiple = 16

    def __init__(self, dimension: int, size: int = 32, widths: tuple[int, ...] = (24, 48, 96, 160), depth: int = 2):
        super().__init__()
        if dimension != 3:
            raise InputError("The method 'equivariant_volume' is for volumes; set the dimension to 3.")
        if size % self.multiple:
            raise InputError(f"The lattice of 'equivariant_volume' must be a multiple of {self.multiple} voxels wide.")
        self.dimension, self.size = dimension, size
        self.body_voxels, self.brain_mm = 0.27 * size, 190.0 / size
        self.locator = Locator(tuple(widths), depth)

    def places(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 1, *shape) in [0, 1] to coordinates (N, M, 3) template mm, log of their expected error (N, M) in
        UNIT_MM, logit of brain (N, M), at `block_points` of the shape."""
        out = self.locator(images.contiguous(memory_format=torch.channels_last_3d)).float().flatten(2)
        return out[:, :3].transpose(1, 2) * UNIT_MM, out[:, 3].clamp(-6, 3), out[:, 4]

    def locate(self, images: Tensor) -> Located:
        """(N, 1, *shape), intensities in [0, 1], to where they lie."""
        coordinates, spread, brain = self.places(images)
        points = block_points(tuple(images.shape[2:]), coordinates)
        matrix, residual, error = fit(points, coordinates, spread, brain)
        return Located(matrix, residual + error)

    def scan(self, images: Tensor) -> Located:
        """As `locate`, for any pose: the surest answer to the 24 turns of each cube (N, 1, n, n, n)."""
        turns = cube_turns().to(images.device)
        n = images.shape[0]
        found = self.locate(torch.cat([turned(images, turn) for turn in turns]))
        doubt = found.doubt.reshape(len(turns), n)
        surest = doubt.argmin(0)
        each = torch.arange(n, device=images.device)
        back = torch.eye(4, device=images.device).repeat(n, 1, 1)
        back[:, :3, :3] = turns[surest].transpose(1, 2)  # the turned cube shows at x what lies at turn(x)
        return Located(found.matrix.reshape(len(turns), n, 4, 4)[surest, each] @ back, doubt[surest, each])

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        found = self.scan(torch.cat([fixed, moving])).matrix.double()
        n = fixed.shape[0]
        change = torch.linalg.solve(found[n:], found[:n]).float() - torch.eye(4, device=fixed.device)
        shape = tuple(fixed.shape[2:])
        lines = [torch.arange(k, dtype=torch.float32, device=fixed.device) - (k - 1) / 2 for k in shape]
        index = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1])
        moved = torch.einsum("nij,j...->ni...", change[:, :3, :3], index) + change[:, :3, 3, None, None, None]
        return MethodOutput(moved)


def fit(points: Tensor, coordinates: Tensor, spread: Tensor, brain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(matrix (N, 4, 4), residual (N,) mm, expected error (N,) mm) of the voxels' words, each weighted by its own
    sureness."""
    weights = brain.sigmoid() * (0.05 + spread.exp()).pow(-2)
    matrix, residual, _ = fit_affine(points, coordinates, weights + 1e-6, STRETCH, TOLERANCE_MM)
    share = brain.sigmoid()
    expected = (share * spread.exp()).sum(1) / share.sum(1).clamp(min=1e-3) * UNIT_MM
    return matrix, residual, expected


def block_points(shape: tuple[int, int, int], like: Tensor) -> Tensor:
    """(M, 3): the index (I, J, K) of the middle of each block of two voxels a side, less the lattice's middle."""
    lines = [torch.arange(n // 2, dtype=like.dtype, device=like.device) * 2 + 0.5 - (n - 1) / 2 for n in shape]
    return torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1], -1).reshape(-1, 3)
