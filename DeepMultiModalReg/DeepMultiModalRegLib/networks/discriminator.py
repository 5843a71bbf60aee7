"""Discriminator of patches (Isola et al. 2017, pix2pix): real or translated, judged square by square."""

from __future__ import annotations

from torch import Tensor, nn

from .residual import NORM
from .unet import CONVOLUTION
from .warp import halve

EVERY = 4  # slices of a volume that a planar discriminator goes on by


class PatchDiscriminator(nn.Sequential):
    """(N, inputs, *shape) to (N, 1, *smaller): a score for each patch; with three layers a patch is 70 voxels wide.

    layers: halvings. Leaky ReLU and instance normalisation, none of it after the first convolution. A planar one sees
    volumes (N, inputs, K, J, I) as axial slices, every fourth one: neighbours are alike.
    """

    def __init__(self, dimension: int, inputs: int = 2, width: int = 64, layers: int = 3) -> None:
        conv, norm = CONVOLUTION[dimension], NORM[dimension]
        parts: list[nn.Module] = [conv(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for number in range(1, layers + 1):
            a, b = width * min(8, 2 ** (number - 1)), width * min(8, 2**number)
            stride = 1 if number == layers else 2
            parts += [conv(a, b, 4, stride, 1), norm(b), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(*parts, conv(width * min(8, 2**layers), 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() > self[0].weight.dim():
            x = x[:, :, ::EVERY].movedim(2, 1).flatten(0, 1)
        return super().forward(x)


def least_squares(score: Tensor, real: bool) -> Tensor:
    """The adversarial loss of LSGAN (Mao et al. 2017): mean squared distance of the scores to one or to zero."""
    return (score.float() - (1.0 if real else 0.0)).square().mean()


class ScaledDiscriminator(nn.ModuleList):
    """The same patches seen at several scales (Wang et al. 2018, pix2pixHD; MUNIT): a PatchDiscriminator for the image,
    one for it halved, and so on. forward: a list of scores, finest first."""

    def __init__(self, dimension: int, inputs: int = 1, width: int = 64, layers: int = 3, scales: int = 3) -> None:
        super().__init__(PatchDiscriminator(dimension, inputs, width, layers) for _ in range(scales))

    def forward(self, x: Tensor) -> list[Tensor]:
        scores = []
        for number, judge in enumerate(self):
            scores.append(judge(x if number == 0 else (x := halve(x))))
        return scores
