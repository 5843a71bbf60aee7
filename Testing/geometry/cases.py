"""Cases: a phantom defined everywhere in space, seen by a fixed and by a moving lattice, the moving one after a known
affine motion and in another contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from lattices import rotation
from torch import Tensor

from DeepMultiModalRegLib.core import Affine, Grid

SHEAR = np.array([[1.0, 0.22, 0.0], [0.0, 1.0, -0.18], [0.12, 0.0, 1.0]])
OBLIQUE = rotation(20, -35, 50)
MIRROR = np.diag([1.0, -1.0, 1.0])
PERMUTED = np.array([[0, 0, 1.0], [-1.0, 0, 0], [0, 1.0, 0]])
FIELD_MM = (110.0, 130.0, 100.0)  # what a whole lattice covers of the phantom, about the middle of the world

# spacing (mm), axes (columns), size of the field of view, where its middle lies in the phantom (shares of the field)
LATTICES: dict[str, tuple] = {
    "upright": ((2.2, 2.2, 2.2), np.eye(3), 1.0, (0, 0, 0)),
    "fine": ((1.4, 1.4, 1.4), np.eye(3), 1.0, (0, 0, 0)),
    "oblique": ((2.0, 2.3, 2.1), OBLIQUE, 1.25, (0, 0, 0)),
    "left-handed": ((2.2, 2.0, 2.2), np.diag([-1.0, 1, 1]), 1.0, (0, 0, 0)),
    "oblique left-handed": ((2.0, 2.3, 2.1), OBLIQUE @ MIRROR, 1.25, (0, 0, 0)),
    "permuted": ((2.1, 2.1, 2.3), PERMUTED, 1.15, (0, 0, 0)),
    "anisotropic": ((1.5, 1.5, 5.0), rotation(4, 6, -8), 1.0, (0, 0, 0)),
    "thick sagittal": ((1.6, 1.6, 4.5), PERMUTED @ MIRROR, 1.15, (0, 0, 0)),
    "sheared": ((2.1, 2.1, 2.1), SHEAR, 1.2, (0, 0, 0)),
    "sheared left-handed": ((1.8, 2.2, 3.0), rotation(10, 0, 20) @ SHEAR @ MIRROR, 1.25, (0, 0, 0)),
    "cropped": ((2.0, 2.0, 2.0), np.eye(3), 0.72, (0.08, -0.05, 0.06)),
    "cropped oblique": ((2.0, 2.0, 2.4), rotation(12, -9, 15), 0.8, (-0.06, 0.05, 0.05)),
}

PAIRS = [  # fixed lattice, moving lattice, parent of the fixed volume, of the moving one, motion
    ("upright", "upright", "", "", "rigid"), ("upright", "oblique", "", "", "rigid"),
    ("oblique", "upright", "", "", "rigid"), ("oblique", "oblique left-handed", "", "", "affine"),
    ("left-handed", "upright", "", "", "rigid"), ("upright", "left-handed", "", "", "affine"),
    ("left-handed", "permuted", "", "", "rigid"), ("oblique left-handed", "anisotropic", "", "", "rigid"),
    ("permuted", "oblique", "", "", "rigid"), ("permuted", "thick sagittal", "", "", "affine"),
    ("anisotropic", "upright", "", "", "rigid"), ("upright", "anisotropic", "", "", "rigid"),
    ("anisotropic", "thick sagittal", "", "", "rigid"), ("thick sagittal", "fine", "", "", "affine"),
    ("fine", "thick sagittal", "", "", "rigid"), ("fine", "oblique", "", "", "affine"),
    ("sheared", "upright", "", "", "rigid"), ("upright", "sheared", "", "", "rigid"),
    ("sheared", "oblique left-handed", "", "", "affine"), ("sheared left-handed", "anisotropic", "", "", "rigid"),
    ("sheared", "sheared left-handed", "", "", "rigid"), ("cropped", "upright", "", "", "rigid"),
    ("upright", "cropped", "", "", "rigid"), ("cropped oblique", "upright", "", "", "rigid"),
    ("oblique", "cropped", "", "", "rigid"), ("cropped", "sheared", "", "", "rigid"),
    ("upright", "upright", "", "", "far"), ("oblique left-handed", "sheared", "", "", "far"),
    ("permuted", "anisotropic", "", "", "far"), ("thick sagittal", "left-handed", "", "", "far"),
    ("upright", "oblique", "rotated", "", "rigid"), ("oblique", "upright", "", "rotated", "rigid"),
    ("left-handed", "anisotropic", "sheared", "rotated", "rigid"), ("permuted", "upright", "two linear", "",
    "affine"),
    ("upright", "oblique left-handed", "", "two linear", "rigid"), ("anisotropic", "upright", "two linear",
    "sheared", "rigid"),
    ("upright", "oblique", "bent", "", "rigid"), ("oblique", "upright", "", "bent", "rigid"),
    ("left-handed", "sheared", "bent and rotated", "rotated", "rigid"), ("upright", "permuted", "rotated",
    "bent and rotated", "rigid"),
]  # fmt: skip


@dataclass(frozen=True)
class Geometry:
    """One pair. truth: fixed points to moving points, LPS mm of the world."""

    number: int
    fixed: str
    moving: str
    fixed_parent: str
    moving_parent: str
    motion: str
    truth: Affine

    @property
    def needs_slicer(self) -> bool:
        return bool(self.fixed_parent or self.moving_parent)


def geometry(number: int) -> Geometry:
    """Case `number` of the forty; its motion is drawn from the number."""
    fixed, moving, above, beside, motion = PAIRS[number]
    draw = np.random.default_rng(1000 + number)
    turn = rotation(*draw.uniform(-14, 14, 3))
    scale = np.diag(draw.uniform(0.94, 1.07, 3)) if motion == "affine" else np.eye(3)
    shift = draw.uniform(-12, 12, 3) + (np.array([420.0, -310.0, 900.0]) if motion == "far" else 0.0)
    if "cropped" in (fixed + moving):
        turn, shift = rotation(*draw.uniform(-6, 6, 3)), draw.uniform(-6, 6, 3)
    truth = Affine.from_parts(torch.from_numpy(turn @ scale), torch.from_numpy(shift))
    return Geometry(number, fixed, moving, above, beside, motion, truth)


def lattice(name: str, centre: np.ndarray | Tensor) -> Grid:
    """The lattice of that name about a place (LPS mm)."""
    spacing, axes, field, offset = LATTICES[name]
    axes = axes / np.linalg.norm(axes, axis=0)
    extent = np.abs(np.linalg.inv(axes)) @ np.array(FIELD_MM) * field
    size = np.maximum(1, np.round(extent / np.array(spacing))).astype(int)
    middle = np.asarray(centre) + np.array(offset) * np.array(FIELD_MM)
    origin = middle - axes @ ((size - 1) / 2 * np.array(spacing))
    return Grid(tuple(size.tolist()), spacing, tuple(origin.tolist()), tuple(axes.ravel().tolist()))


def phantom_at(points: Tensor, contrast: int) -> Tensor:
    """(...) intensities of (..., 3) LPS mm: a head-like body of unequal parts, no two directions alike.

    contrast: 0 and 1 name the same parts, in another order of brightness. Smooth over about two millimetres.
    """
    x = points.double()
    parts = (  # centre, half axes (mm), brightness in each contrast; later parts lie over earlier ones
        ((0, 0, 0), (42, 52, 38), (500, 800)), ((0, 0, 0), (36, 46, 32), (800, 450)),
        ((14, -6, 4), (9, 17, 8), (250, 950)), ((-14, -6, 4), (8, 15, 7), (250, 950)),
        ((0, 26, -8), (18, 8, 10), (950, 250)), ((-20, -24, 10), (8, 7, 9), (620, 640)),
        ((18, 18, 14), (6, 8, 6), (380, 760)), ((8, -30, -14), (9, 6, 7), (980, 180)),
        ((-22, 14, -12), (5, 9, 6), (420, 880)),
    )  # fmt: skip
    value = torch.zeros(x.shape[:-1], dtype=torch.float64)
    for centre, half, bright in parts:
        half = torch.tensor(half, dtype=torch.float64)
        radius = ((x - torch.tensor(centre, dtype=torch.float64)) / half).norm(dim=-1)
        inside = torch.sigmoid((1 - radius) * half.min() / 0.9)
        value = value + inside * (bright[contrast] - value)
    return torch.where(value < 0.5, torch.zeros_like(value), value).float()
