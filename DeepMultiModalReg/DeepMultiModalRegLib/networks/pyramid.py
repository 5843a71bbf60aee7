"""One level of a coarse-to-fine field: matching costs of given features, smoothed and weighed by a U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .correlation import expected_offset, matching_cost, offsets, standardised
from .unet import CONVOLUTION, UNet
from .warp import halve


class MatchingLevel(nn.Module):
    """A velocity from two images and their features, all on one lattice.

    The network sees the matching costs over a neighbourhood, the displacement that they alone would give, and both
    images; it learns where to trust them and how to go on where they say nothing. It need not learn to match, which a
    U-Net on two images of different modality takes tens of thousands of pairs to learn.

    radius, star: the neighbourhood (networks.correlation.offsets); reduced: channels the costs are brought to;
    widths, full: the U-Net's; images: how many it sees; finer: the features lie on a lattice twice as fine, and costs
    are averaged over blocks of two voxels a side, so that neighbours half a voxel away are told apart.
    """

    def __init__(
        self,
        dimension: int,
        radius: int,
        star: int,
        reduced: int,
        widths: tuple[int, ...],
        full: int,
        images: int = 2,
        finer: bool = False,
    ) -> None:
        super().__init__()
        self.finer = finer
        self.displacements = offsets(dimension, radius, star)
        conv = CONVOLUTION[dimension]
        self.reduce = nn.Sequential(conv(len(self.displacements), reduced, 1), nn.LeakyReLU(0.2))
        self.unet = UNet(dimension, reduced + dimension + images, dimension, widths, full=full)

    def forward(self, images: list[Tensor], fixed_features: Tensor, moving_features: Tensor) -> Tensor:
        """images: each (N, 1, *shape), fixed first; features (N, C, *shape), or twice as fine. Returns (N, D, *shape)
        float32, voxels of the images' lattice."""
        cost = matching_cost(fixed_features, moving_features, self.displacements)
        if self.finer:
            cost = halve(cost)
        cost = standardised(cost)
        hint = expected_offset(cost, self.displacements) * (0.5 if self.finer else 1.0)
        return self.unet(torch.cat([self.reduce(cost), hint, *images], 1)).float()
