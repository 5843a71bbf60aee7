"""The equivariant method: each image alone says where it is; a pair meets in the template's frame.

Hachicha, Le, Wargnier-Dauchelle, Sdika, MILLanD 2023. R(I) maps the template's frame to the image, so that I o R(I)
lies like the template. T (fixed to moving) = R(moving) o R(fixed)^-1: no similarity of the two is ever asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import InputError
from ..networks.dense_regressor import DenseRegressor
from ..networks.regressor import Regressor, homogeneous
from ..networks.warp import identity
from .base import Method, MethodOutput
from .equivariant_turns import find_turn

HEADS = ("numbers", "dense")


class Equivariant(Method):
    """One regressor for every modality it was trained on, in 2D.

    shape: (J, I) of the lattice it was trained on. Other lattices of the same spacing are cut or filled up with
    background about their middle. widths: channels of the network's layers. head: "numbers", the published regressor of
    a matrix's numbers; "dense", every block of pixels says where it lies in the template and the matrix is the one that
    fits best (networks.dense_regressor, methods.equivariant_turns). depth: of the dense head, residual blocks at its
    deepest level.
    """

    multiple = 1
    one_plane = True  # trained on one plane of the head: never slice by slice through a volume

    def __init__(
        self,
        dimension: int,
        shape: tuple[int, ...] = (109, 91),
        widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256),
        head: str = "numbers",
        depth: int = 2,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise InputError(f"The head '{head}' is not known; choose one of {', '.join(HEADS)}.")
        if dimension != 2:
            raise InputError("The equivariant method is here for slices only; choose a model for volumes.")
        self.dimension = dimension
        self.shape = tuple(shape)
        self.unit = max(shape) / 2  # pixels of the length that the network's matrices call 1
        self.dense = head == "dense"
        if self.dense:
            self.regressor: nn.Module = DenseRegressor(tuple(widths), self.unit, depth)
        else:
            self.regressor = Regressor(dimension, dimension * (dimension + 1), tuple(widths), self.shape)

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        """As Method.forward: the pair's affine as a displacement of every pixel. Renders no translated image."""
        matrices = self.pair(fixed, moving)
        x = identity(tuple(fixed.shape[2:]), fixed.device)
        half = (x.new_tensor(fixed.shape[:1:-1]) - 1) / 2
        d = self.dimension
        linear, shift = matrices[:, :d, :d], matrices[:, :d, d].reshape(-1, *[1] * d, d)
        about = (x - half).expand(len(matrices), *x.shape[1:])
        with torch.autocast(fixed.device.type, enabled=False):
            moved = torch.einsum("nrc,n...c->n...r", linear, about) + shift + half
        return MethodOutput((moved - x).movedim(-1, 1).contiguous())

    def pair(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """(N, D + 1, D + 1): T from the fixed to the moving image, both (N, 1, *shape); pixels about the lattices'
        middles."""
        to_fixed, to_moving = self.pose(fixed), self.pose(moving)
        with torch.autocast(fixed.device.type, enabled=False):  # half precision is for the network alone
            return to_moving @ torch.linalg.inv(to_fixed)

    def pose(self, image: Tensor) -> Tensor:
        """R of images (N, 1, *shape): (N, D + 1, D + 1) affine matrices from the template's frame to each image.

        In pixels, the template's about the middle of the trained lattice, the image's about the middle of its own;
        components I, J(, K). float32.
        """
        return self.located(image)[0]

    def located(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """R as `pose` gives it, and (N,) its doubt: how many of the template's pixels the network expects it to be off.
        The head "numbers" names none: 0."""
        inside, offset = fitted(image, self.shape)
        frame = fitted(torch.ones_like(image[:, :1]), self.shape)[0]
        matrices, doubt = self.doubted(inside, frame=frame)
        matrices = matrices.clone()
        matrices[:, :-1, -1] = matrices[:, :-1, -1] * self.unit + offset
        return matrices, doubt * self.unit

    def regress(self, image: Tensor, upright: bool = False) -> Tensor:
        """R as it is trained: images (N, 1, *self.shape) to matrices whose translations count `unit` pixels as 1.
        upright: the images are known to lie nearly as the template does, so that no canonical view is needed."""
        return self.doubted(image, upright)[0]

    def doubted(self, image: Tensor, upright: bool = False, frame: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """R as `regress` gives it, and (N,) its doubt, counting `unit` pixels as 1. frame: 1 where an image was taken,
        0 where it was filled up; everywhere, unless it is given."""
        if self.dense:
            return find_turn(self.regressor, image, torch.ones_like(image) if frame is None else frame, upright)
        matrices = homogeneous(self.regressor(image), self.dimension)
        return matrices, matrices.new_zeros(len(matrices))


def fitted(image: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """(N, C, *any) cut or filled with zeros to `shape` about its middle, and (D,) where the middle of that lies from
    the image's own: half a pixel where an odd one was cut or filled in."""
    padding, offset = [], []
    for have, want in zip(image.shape[:1:-1], shape[::-1], strict=True):
        before = (want - have) // 2
        padding += [before, want - have - before]
        offset.append((want - have) / 2 - before)
    return F.pad(image, padding), torch.tensor(offset, device=image.device)
