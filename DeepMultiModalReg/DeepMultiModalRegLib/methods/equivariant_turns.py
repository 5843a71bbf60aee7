"""Looks of the dense head at a slice: its four quarter turns, weighed against each other as they were trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.canonical import canonical
from ..networks.dense_regressor import DenseRegressor, quarter

UPRIGHT = 1.25  # stretch at which an image brought upright is seen: the template's head just fits
THIRD = 2  # looks more of the turn that was taken
SAME = 30.0  # degrees up to which two answers say the same turn
ASTRAY = 0.8  # units by which a head turned the wrong way is off: 88 mm on average, on people kept aside


@dataclass(frozen=True)
class Answer:
    """What a look at N pictures says. poses: (N, 3, 3) R, template to picture, in the network's unit about the
    lattice's middle. words: (N,) logit of what was seen being upright. doubt: (N,) how far R is expected to be off, in
    units of the template."""

    poses: Tensor
    words: Tensor
    doubt: Tensor


def find_turn(network: DenseRegressor, images: Tensor, frames: Tensor, upright: bool = False) -> tuple[Tensor, Tensor]:
    """R of images (N, 1, *shape) and its doubt, as in Answer.

    frames: (N, 1, *shape), 1 where the image was taken and 0 where it was filled up. A first look sees the canonical
    view in its four quarter turns; a second one sees the image as each answer brings it upright, R <- R R(I o R). The
    network learned to tell the right turn from the others by either look, so that their words add up; so do those of
    the mirrored image. The turn with the most of them is taken and looked at again. The doubt is the last look's, and
    ASTRAY times the chance, by these words, that another turn is the right one. upright: the images are known to lie
    nearly as the template does, so that one turn of the image itself is looked at.
    """
    pictures = torch.cat([images, frames], 1)
    if upright:
        found = _again(network, pictures, torch.eye(3, device=images.device).repeat(len(images), 1, 1), 1 + THIRD)
        return found.poses, found.doubt
    view = canonical(images, network.unit)
    words, poses = _weighed(network, pictures, view)
    # the mirrored image's quarter turns are the other way round
    words = (words + _weighed(network, pictures.flip(-1), _mirrored(view))[0][[0, 3, 2, 1]]) / 2
    taken = words.argmax(0)
    pose = poses[taken, torch.arange(len(images), device=images.device)]
    found = _again(network, pictures, pose, THIRD)
    with torch.autocast(images.device.type, enabled=False):
        other = degrees(torch.linalg.inv(pose) @ poses) > SAME
        return found.poses, found.doubt + ASTRAY * (words.softmax(0) * other).sum(0)


def _weighed(network: DenseRegressor, pictures: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
    """(4, N): what both looks at the pictures (N, 2, *shape) say for each quarter turn of `view`, and (4, N, 3, 3)
    where it ends."""
    squares, turns = turned_squares(network, pictures, view)
    first = answered(network, squares.flatten(0, 1), turns.flatten(0, 1))
    second = _again(network, pictures.repeat(4, 1, 1, 1), first.poses, 1)
    return (first.words + second.words).reshape(4, -1), second.poses.reshape(4, -1, 3, 3)


def _mirrored(matrices: Tensor) -> Tensor:
    """Maps (*, 3, 3) as they are where both lattices are mirrored along I."""
    signs = matrices.new_tensor([-1.0, 1.0, 1.0])
    return matrices * signs * signs[:, None]


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


def answered(network: DenseRegressor, squares: Tensor, places: Tensor, again: bool = False) -> Answer:
    """What the network says of squares (N, 2, SIDE, SIDE) whose points lie at `places` (N, 3, 3) of a picture. again:
    these are second looks."""
    said = network.places(squares, again)
    found, doubt = network.fitted(said)
    with torch.autocast(squares.device.type, enabled=False):
        return Answer(places @ torch.linalg.inv(found), said.upright, doubt)


def _again(network: DenseRegressor, pictures: Tensor, poses: Tensor, times: int) -> Answer:
    """The answer after so many looks at the pictures as `poses` (N, 3, 3), then each answer, bring them upright."""
    found = answered(network, *upright_squares(network, pictures, poses), again=True)
    for _ in range(times - 1):
        found = answered(network, *upright_squares(network, pictures, found.poses), again=True)
    return found


def degrees(matrices: Tensor) -> Tensor:
    """(*) by which maps (*, 3, 3) with a positive determinant turn, either way."""
    sine = matrices[..., 1, 0] - matrices[..., 0, 1]
    return torch.atan2(sine, matrices[..., 0, 0] + matrices[..., 1, 1]).abs() * (180 / math.pi)
