"""Looks of the dense head at a slice: its four quarter turns, weighed against each other as they were trained."""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.canonical import canonical
from ..networks.dense_regressor import DenseRegressor, quarter

UPRIGHT = 1.25  # stretch at which an image brought upright is seen: the template's head just fits
THIRD = 2  # looks more of the turn that was taken


def find_turn(network: DenseRegressor, images: Tensor, frames: Tensor, upright: bool = False) -> Tensor:
    """R of images (N, 1, *shape): (N, 3, 3), template to image, in the network's unit about the lattice's middle.

    frames: (N, 1, *shape), 1 where the image was taken and 0 where it was filled up. A first look sees the canonical
    view in its four quarter turns; a second one sees the image as each answer brings it upright, R <- R R(I o R). The
    network learned to tell the right turn from the others by either look, so that their words add up; the turn with the
    most of them is taken and looked at again. upright: the images are known to lie nearly as the template does, so that
    one turn of the image itself is looked at.
    """
    pictures = torch.cat([images, frames], 1)
    if upright:
        answer = torch.eye(3, device=images.device).repeat(len(images), 1, 1)
        return _again(network, pictures, answer, 1 + THIRD)[0]
    view = canonical(images, network.unit)
    squares, turns = turned_squares(network, pictures, view)
    answers, words = answered(network, squares.flatten(0, 1), turns.flatten(0, 1))
    answers, more = _again(network, pictures.repeat(4, 1, 1, 1), answers, 1)
    taken = (words + more).reshape(4, -1).argmax(0)
    answer = answers.reshape(4, -1, 3, 3)[taken, torch.arange(len(images), device=images.device)]
    return _again(network, pictures, answer, THIRD)[0]


def turned_squares(network: DenseRegressor, pictures: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
    """(4, N, C, SIDE, SIDE): the pictures (N, C, *shape) at `view` (N, 3, 3) in four quarter turns; and (4, N, 3, 3), a
    point of each to the picture's."""
    squares = network.seen(pictures, view)
    turned = torch.stack([torch.rot90(squares, k, (-2, -1)) for k in range(4)])
    with torch.autocast(view.device.type, enabled=False):  # half precision is for the network alone
        return turned, torch.stack([view @ quarter(k).to(view) for k in range(4)])


def upright_squares(network: DenseRegressor, pictures: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The same, in one turn, of the pictures as answers (N, 3, 3), template to picture, bring them upright."""
    with torch.autocast(answers.device.type, enabled=False):
        view = answers @ torch.diag(answers.new_tensor([UPRIGHT, UPRIGHT, 1.0]))
    return network.seen(pictures, view), view


def answered(
    network: DenseRegressor, squares: Tensor, places: Tensor, again: bool = False
) -> tuple[Tensor, Tensor]:
    """What the network says of squares (N, 2, SIDE, SIDE) whose points lie at `places` (N, 3, 3) of a picture: R (N, 3,
    3), template to picture; and its word for their being upright (N,), a logit. again: these are second looks."""
    said = network.places(squares, again)
    found = network.maps(said)
    with torch.autocast(squares.device.type, enabled=False):
        return places @ torch.linalg.inv(found), said.upright


def _again(network: DenseRegressor, pictures: Tensor, answers: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """The answers (N, 3, 3) after so many looks at the pictures as they bring them upright; the last look's word."""
    words = answers.new_zeros(len(answers))
    for _ in range(times):
        answers, words = answered(network, *upright_squares(network, pictures, answers), again=True)
    return answers, words
