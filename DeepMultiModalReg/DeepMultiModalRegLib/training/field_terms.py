"""What every registration network is trained on besides its paper's own losses: labels and known fields."""

from __future__ import annotations

import torch
from torch import Tensor, cat
from torch.nn import functional as F

from ..losses.mutual_information import mutual_information
from ..losses.overlap import soft_dice_loss
from ..losses.smoothness import diffusion
from ..methods.matching import FieldNetwork, composed
from ..networks.warp import warp
from .batch import Batch

HEAD = 0.02  # grey level above which a voxel counts as head


def field_terms(batch: Batch, displacement: Tensor, velocity: Tensor) -> dict[str, Tensor]:
    """smoothness of the velocity; overlap of labels and distance to the known field, where there are such; and the
    warped image, `warped`, which is no term of a loss. displacement: (N, D, *shape) voxels."""
    terms: dict[str, Tensor] = {"smoothness": diffusion(velocity)}
    images = batch.moving
    if batch.moving_members is not None:
        images = cat([batch.moving, batch.moving_members], 1)
    warped = warp(images, displacement)
    terms["warped"] = warped[:, :1]
    if batch.moving_members is not None:
        terms["overlap"] = soft_dice_loss(warped[:, 1:], batch.fixed_members)
    if batch.has_truth.any():
        terms["distance"] = distance(batch, displacement)
    return terms


def levels_terms(batch: Batch, velocities: list[Tensor], steps: int) -> dict[str, Tensor]:
    """`field_terms` of all levels together, where each must also be smooth, and, where the field is known, good on its
    own. velocities: of the levels, as methods.matching composes them."""
    shape = batch.fixed.shape[2:]
    terms = field_terms(batch, composed(velocities, shape, steps), velocities[-1])
    for number in range(1, len(velocities)):
        terms["smoothness"] = terms["smoothness"] + diffusion(velocities[number - 1])
        if "distance" in terms:
            terms["distance"] = terms["distance"] + distance(batch, composed(velocities[:number], shape, steps))
    return terms


def informed_terms(registration: FieldNetwork, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """`levels_terms` of a registration network's levels, on the images as they are, and the mutual information of the
    fixed image with the warped one."""
    terms = levels_terms(batch, registration.velocities(batch.fixed, batch.moving), registration.steps)
    terms["information"] = -mutual_information(terms.pop("warped"), batch.fixed, generator=generator)
    return terms


def distance(batch: Batch, displacement: Tensor) -> Tensor:
    """Huber distance to the known field, voxels, mean over the head of the pairs that have one."""
    inside = (batch.fixed > HEAD).float() * batch.has_truth.reshape(-1, *[1] * (batch.fixed.dim() - 1))
    error = F.smooth_l1_loss(displacement, batch.truth, reduction="none", beta=0.5).sum(1, keepdim=True)
    return (error * inside).sum() / inside.sum().clamp(min=1)
