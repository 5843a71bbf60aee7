"""Images of any contrast made from label maps (the recipe of SynthSeg, Billot et al. 2023, and SynthMorph, Hoffmann
2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine.intensity import normalise
from ..networks.unet import INTERPOLATION
from .deformation import uniform

BRIGHTEST = 200.0  # T1 priors are on a scale of 0-255 on which nothing in a head is expected above this


@dataclass(frozen=True)
class TissueTable:
    """What is known of each compact label: its tissue class (left and right share one), T1 grey level, and whether it
    is brain.

    tissue: (L,) long; t1_mean, t1_spread, t1_noise: (classes,) on 0-255; brain: (L,) bool. Label 0 is background.
    """

    tissue: Tensor
    t1_mean: Tensor
    t1_spread: Tensor
    t1_noise: Tensor
    brain: Tensor


def draw_contrast(table: TissueTable, kind: str, generator: torch.Generator) -> Tensor:
    """(L,) mean grey levels in [0, 1]: kind "t1", "t2" (order of grey levels reversed inside the brain) or "random"."""
    classes = table.t1_mean.numel()
    chance = uniform(0, 1, generator, classes)
    if kind == "random":
        levels = chance
    else:
        levels = table.t1_mean + torch.randn(classes, generator=generator) * table.t1_spread * 1.5
        levels = (levels / BRIGHTEST).clamp(0, 1)
    means = levels[table.tissue]
    if kind == "t2":
        gamma = math.exp(uniform(-0.6, 0.6, generator, 1).item())
        reversed_levels = (1 - levels).clamp(0, 1).pow(gamma) * uniform(0.8, 1.0, generator, classes)
        # outside the brain dark stays dark (bone, air) and the rest may be anything
        outside = torch.where(levels < 0.25, levels, chance)
        means = torch.where(table.brain, reversed_levels[table.tissue], outside[table.tissue])
    means = means.clone()
    means[0] = 0.0 if torch.rand((), generator=generator) < 0.8 else uniform(0, 0.1, generator, 1).item()
    return means


def synthesise(labels: Tensor, table: TissueTable, kind: str, spacing: float, generator: torch.Generator) -> Tensor:
    """labels (1, 1, *shape) of compact label numbers to an image of the same shape in [0, 1].

    Contrast, noise within each tissue, blur, a bias field, a thick-slice axis now and then, scanner noise, gamma.
    """
    shape = labels.shape[2:]
    dimension = len(shape)
    means = draw_contrast(table, kind, generator)
    texture = uniform(0, 0.05, generator, table.t1_mean.numel())[table.tissue]
    texture[0] = 0
    index = labels.long()
    image = means[index] + texture[index] * torch.randn(labels.shape, generator=generator)
    image = blur(image, uniform(0.35, 0.9, generator, 1).item())
    if torch.rand((), generator=generator) < 0.25:
        image = thick_slices(
            image, int(torch.randint(dimension, (), generator=generator)), uniform(1.5, 3.5, generator, 1).item()
        )
    field = torch.randn(1, 1, *[int(torch.randint(2, 5, (), generator=generator)) for _ in shape], generator=generator)
    strength = uniform(0, 0.3, generator, 1).item()
    bias = F.interpolate(field * strength, size=shape, mode=INTERPOLATION[dimension], align_corners=True)
    image = image * bias.exp()
    image = image + torch.randn(image.shape, generator=generator) * uniform(0, 0.04, generator, 1).item() * (index > 0)
    image = normalise(image.abs())
    return image.pow(math.exp(0.25 * torch.randn((), generator=generator).item()))


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian of `sigma` voxels along every axis of (1, 1, *shape)."""
    reach = max(1, math.ceil(2.5 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=image.dtype) / sigma) ** 2)
    line = line / line.sum()
    dimension = image.dim() - 2
    convolve = {2: F.conv2d, 3: F.conv3d}[dimension]
    for axis in range(dimension):
        kernel_shape = [1, 1] + [1] * dimension
        kernel_shape[2 + axis] = line.numel()
        padding = [0] * dimension
        padding[axis] = reach
        image = convolve(image, line.reshape(kernel_shape), padding=padding)
    return image


def thick_slices(image: Tensor, axis: int, factor: float) -> Tensor:
    """(1, 1, *shape) as if acquired with voxels `factor` times longer along one axis, interpolated back."""
    shape = list(image.shape[2:])
    thin = list(shape)
    thin[axis] = max(2, round(shape[axis] / factor))
    mode = INTERPOLATION[len(shape)]
    return F.interpolate(F.interpolate(image, size=thin, mode="area"), size=shape, mode=mode, align_corners=False)
