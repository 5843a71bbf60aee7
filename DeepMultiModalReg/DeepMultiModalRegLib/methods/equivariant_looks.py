"""Looks of the dense head at a slice: in its four quarter turns, and again as its first answer brings it upright."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..networks.canonical import canonical
from ..networks.dense_regressor import DenseRegressor, quarter
from ..networks.posing import moved

AGAIN = 2  # looks at the image brought upright
AROUND = (-12.0, 0.0, 12.0)  # degrees from there, of the looks that tell which way is up


def find(network: DenseRegressor, images: Tensor, upright: bool = False, again: int = AGAIN) -> Tensor:
    """R of images (N, 1, *shape): (N, 3, 3), template to image, in the network's unit about the lattice's middle.

    Each of the four quarter turns (of the canonical view, where the network is for that and the images are not known to
    be `upright`) is looked at, and again as its answer brings it upright, R <- R R(I o R), as an
    equivariant method may go on; of the answers to one turn the surest stays. Then it is looked at from around there,
    and mirrored, since which way is up must not depend on that; and of the turns that with the least doubt in all its
    looks is taken. So answers are equivariant under quarter turns by construction.
    """
    view = torch.eye(3, device=images.device).expand(len(images), 3, 3)
    first = images
    if network.canonical and not upright:
        view = canonical(images, network.unit)
        first = moved(images, view, network.unit)
    squares, shift = network.squared(first)
    answers, doubts = zip(*(_turn(network, images, squares, view, shift, k, again) for k in range(4)), strict=True)
    surest = torch.stack(doubts).argmin(0)
    return torch.stack(answers)[surest, torch.arange(len(images), device=images.device)]


def _turn(
    network: DenseRegressor, images: Tensor, squares: Tensor, view: Tensor, shift: Tensor, k: int, again: int
) -> tuple[Tensor, Tensor]:
    """R as it is found from quarter turn k of the squares, which show the images at `view`; and the sum of its looks'
    doubts (N,)."""
    found, doubt = network.maps(network.places(torch.rot90(squares, k, (-2, -1))))
    with torch.autocast(images.device.type, enabled=False):  # half precision is for the network alone
        answer = view @ shift @ torch.linalg.inv(found @ quarter(-k).to(found))
    least = total = doubt
    for _ in range(again):
        seen, _ = network.squared(moved(images, answer, network.unit))
        found, doubt = network.maps(network.places(seen))
        with torch.autocast(images.device.type, enabled=False):
            better = (doubt < least)[:, None, None]
            answer = torch.where(better, answer @ shift @ torch.linalg.inv(found), answer)
        least, total = torch.minimum(least, doubt), total + doubt
    for degrees in AROUND:
        with torch.autocast(images.device.type, enabled=False):
            around = answer @ _turning(degrees).to(answer)
        seen, _ = network.squared(moved(images, around, network.unit))
        for square in (seen, seen.flip(-1)):
            total = total + network.maps(network.places(square))[1]
    return answer, total


def _turning(degrees: float) -> Tensor:
    a = math.radians(degrees)
    return torch.tensor([[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0], [0.0, 0.0, 1.0]])
