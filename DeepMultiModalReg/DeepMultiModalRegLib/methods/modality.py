"""Which image of a pair is of the second modality: asked once, and answered alike for all slices of the pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.warp import enlarge, halve, warp
from .matching import FieldNetwork

JUDGED = 16  # slices at most that give the answer


@torch.no_grad()
def moving_is_second(sorter: nn.Module, fixed: Tensor, aligned: Tensor) -> bool:
    """Whether the moving image, aligned, rather than the fixed one is of the second modality.

    fixed, aligned: (N, 1, *shape), slices or volumes; judged at half the resolution. sorter: as
    networks.pair_sorter.PairSorter. (Trying which translation fits, with weights trained for some minutes, was right as
    often: on 12 of 12 pairs of newborns, on 9 of 12 synthetic ones against 8, and takes two translations more.)
    """
    return bool(sorter(halve(fixed.float()), halve(aligned.float())).mean() > 0)


def most(volume: Tensor, count: int) -> Tensor:
    """(M,) indices of the `count` slices of (N, ...) that show most, the brightest on average first."""
    return volume.flatten(1).mean(1).argsort(descending=True, stable=True)[:count]


@torch.no_grad()
def judged(sorter: nn.Module, registration: FieldNetwork, fixed: Tensor, moving: Tensor) -> bool:
    """The same of a pair that is not aligned yet: of the slices that show most, after the levels have brought them
    together."""
    return moving_is_second(sorter, *brought_together(registration, fixed, moving))


@torch.no_grad()
def brought_together(registration: FieldNetwork, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """Of the slices that show most: fixed, and moving as the levels align it."""
    shown = most(fixed, JUDGED)
    fixed, moving = fixed[shown], moving[shown]
    return fixed, warp(moving, enlarge(registration.coarse(fixed, moving), fixed.shape[2:]))


def of_each(answer: bool, images: Tensor) -> Tensor:
    """(N,) of the answer, for the N slices or volumes."""
    return torch.full((images.shape[0],), answer, dtype=torch.bool, device=images.device)
