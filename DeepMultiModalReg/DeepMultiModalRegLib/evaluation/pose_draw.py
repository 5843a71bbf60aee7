"""Drawing poses: seeded turns, shifts and scales, and a moving image put under one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, Grid, Image, InputError, resample
from ..engine.reduce import averaged

MARGIN_MM = 8.0  # of background around a posed head
STRIDE = 1_000_003  # between the seeds of two runs: no pose of one is a pose of the next


@dataclass(frozen=True)
class PoseRanges:
    """How far a pose may go.

    rotation_deg: about an axis drawn evenly from the sphere (in a plane: either way), by an angle drawn evenly from 0
    to this. shift_mm: drawn evenly from -this to this along each of L, P(, S). scale: a factor drawn evenly from
    1 - this to 1 + this; one for all axes, or one for each of the fixed image's L, P(, S) where `each_axis`.
    """

    rotation_deg: float
    shift_mm: float
    scale: float
    each_axis: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_deg <= 180 or self.shift_mm < 0 or not 0 <= self.scale < 1:
            raise InputError("A pose needs a rotation of 0 to 180 degrees, a shift of 0 mm or more, a scale below 1.")


PRESETS = {
    "affine": PoseRanges(40, 40, 0.10),
    "start45": PoseRanges(45, 60, 0.20),
    "start180": PoseRanges(180, 60, 0.20),
}


@dataclass(frozen=True)
class Pose:
    """truth: fixed LPS mm to moving LPS mm; and the numbers it was made of."""

    truth: Affine
    rotation_deg: float
    shift_mm: float
    scale: float


def drawn_pose(ranges: PoseRanges, centre: Tensor, seed: int, number: int) -> Pose:
    """Pose `number` of the run `seed`: x -> centre + shift + turn scale (x - centre). centre: (D,) LPS mm.

    It does not depend on how many poses are drawn. shift_mm of the answer: its length; scale: the mean factor.
    """
    d = len(centre)
    generator = torch.Generator().manual_seed(seed * STRIDE + number)
    angle = math.radians(ranges.rotation_deg) * torch.rand((), generator=generator).item()
    axis = torch.randn(3, generator=generator, dtype=torch.float64)
    skew = torch.zeros(d, d, dtype=torch.float64)
    axis = axis / axis.norm() if d == 3 else torch.tensor([0.0, 0.0, math.copysign(1.0, axis[2].item())])
    skew[0, 1], skew[1, 0] = -axis[2], axis[2]
    if d == 3:
        skew[0, 2], skew[2, 0], skew[1, 2], skew[2, 1] = axis[1], -axis[1], -axis[0], axis[0]
    shift = ranges.shift_mm * _signed(d, generator)
    factor = 1 + ranges.scale * _signed(d, generator)
    factor = factor if ranges.each_axis else factor[:1].expand(d)
    linear = torch.linalg.matrix_exp(angle * skew) @ torch.diag(factor)
    truth = Affine.from_parts(linear, centre + shift - linear @ centre)
    return Pose(truth, math.degrees(angle), shift.norm().item(), factor.mean().item())


def respaced(image: Image, spacing: float) -> Image:
    """`image` on voxels of at least `spacing` mm along each of its axes, finer ones averaged; float32."""
    grid = image.grid.respaced(tuple(max(spacing, s) for s in image.grid.spacing))
    coarse = averaged(image, grid)
    return resample(coarse, grid, None, "linear", float(image.tensor.min()))


def posed_by_resampling(image: Image, head: Tensor, truth: Affine, spacing: float, fill: float) -> Image:
    """The moving image read anew on its own axes, turned away: posed(truth(x)) = image(x).

    Its lattice (voxels of at least `spacing` mm) is the image's own, grown so far that the posed head lies within by
    MARGIN_MM: it tells nothing of the pose but that it holds the head. head: (N, D) LPS mm, the head before the pose.
    """
    own = image.grid.respaced(tuple(max(spacing, s) for s in image.grid.spacing))
    index = truth.points(head) @ own.inverse_matrix[:-1, :-1].T + own.inverse_matrix[:-1, -1]
    margin = MARGIN_MM / torch.tensor(own.spacing, dtype=torch.float64)
    low = (index.amin(0) - margin).floor().clamp(max=0)
    high = (index.amax(0) + margin).ceil().maximum(torch.tensor(own.size, dtype=torch.float64) - 1)
    grid = own.cropped(tuple(int(v) for v in low), tuple(int(v) for v in high - low + 1))
    return resample(averaged(image, grid), grid, truth.inverse(), "linear", fill)


def posed_by_header(image: Image, truth: Affine) -> Image:
    """The same voxels on a lattice that lies elsewhere: origin, axes and spacing go through `truth`.

    Raises InputError where its axes would shear: no image file holds such a lattice.
    """
    axes = truth.linear @ image.grid.matrix[:-1, :-1]
    spacing = axes.norm(dim=0)
    direction = axes / spacing
    if (direction.T @ direction - torch.eye(len(spacing), dtype=axes.dtype)).abs().max() > 1e-6:
        raise InputError("A header cannot hold a pose that shears the lattice; resample, or draw one scale a pose.")
    origin = truth.points(torch.tensor(image.grid.origin, dtype=torch.float64))
    grid = Grid(image.grid.size, tuple(spacing.tolist()), tuple(origin.tolist()), tuple(direction.flatten().tolist()))
    return Image(image.tensor, grid)


def _signed(count: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
