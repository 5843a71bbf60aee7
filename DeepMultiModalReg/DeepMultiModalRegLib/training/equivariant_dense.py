"""The equivariant method's objective for a dense head: the published equations, asked of every block of pixels too."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..methods.equivariant import Equivariant
from ..networks.canonical import canonical
from ..networks.dense_regressor import BLOCK, DenseRegressor, Places, quarter
from ..networks.posing import moved
from .equivariant import EquivariantObjective
from .equivariant_looks import INSIDE, random_looks
from .equivariant_poses import PoseRanges, occluded

TERMS = ("places", "sureness", "head", "upright")
KNOWN = 65.0  # degrees of turn up to which places are taught: beyond, a quarter turn of the square is the better view
FEW = 4.0  # blocks of head: an image that shows less counts less
SECOND = 3  # one view in so many is a second look
UPRIGHT = (45.0, 90.0)  # degrees of turn below which a view is upright, and beyond which it is not
NEAR = PoseRanges(translation=8, rotation=20, shear=0.15, scale=0.15)  # what the first look leaves
VIEWS = (0.5, 0.7)  # below the first of them a view in the best quarter turn, below the second in the next best


class DenseObjective(EquivariantObjective):
    """As EquivariantObjective, of a method with the head "dense", and with the terms places, sureness, head, upright.

    places: how far every block's place in the template is from where the equation in force has it: at B x for an image
    that lies in the template's frame (template, reference), at R(I)^-1 B x, R(I) held, where B R(I o B) has to come to
    R(I) (equivariance). sureness: how well the network knows that distance. head, upright: whether it knows what is
    head, and which way is up.
    The network sees every I o B in one of its four quarter turns, mostly that nearest to upright; one in three as a
    second look sees it, brought about upright before; the first looks at the canonical view where the network is for
    that. It is taught places of near turns alone, and to be unsure of far
    ones; the method asks for all four turns and takes the surest. mirrored: every other image is.
    """

    def __init__(self, method: Equivariant, weights: dict[str, float], *others, mirrored: bool = False, **more) -> None:
        self.own = {name: weight for name, weight in weights.items() if name in TERMS}
        super().__init__(method, {name: w for name, w in weights.items() if name not in TERMS}, *others, **more)
        assert isinstance(method.regressor, DenseRegressor)
        self.network, self.mirrored = method.regressor, mirrored

    def terms(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """images: (N, 1, *shape) slices in the place where they were found."""
        count, wanted = len(images), self.weights
        with torch.autocast(images.device.type, enabled=False):  # half precision is for the network alone
            views = [self._views(images, generator)]
            if "reference" in wanted:
                chosen = self.references[torch.randint(len(self.references), (count,), generator=generator)]
                views.append(self._views(chosen, generator))
        squares, b, heads = (torch.cat(part) for part in zip(*views, strict=True))
        plain, shift = self.network.squared(images if "equivariance" in wanted else images[:0])
        said = self.network.places(torch.cat([squares, plain]))
        with torch.autocast(images.device.type, enabled=False):
            answers = torch.linalg.inv(self.network.maps(said)[0])
            plain = shift @ answers[len(b) :]
            target = b
            if "equivariance" in wanted:
                target = torch.cat([torch.linalg.inv(plain.detach()) @ b[:count], b[count:]])
            known = turned(target) < KNOWN
            near, ref = known[:count], known[count:]
            terms = {}
            if near.any() and (ref.any() or not len(ref)):
                parts = [answers[:count][near], *([plain[near]] if len(plain) else []), answers[count : len(b)][ref]]
                terms = self._terms(images[near], b[:count][near], parts, b[count:][ref], generator)
            said = Places(*(field[: len(b)] for field in (said.coordinates, said.spread, said.head, said.upright)))
            found = dense_terms(said, self.network.points, target, heads)
        return terms | {name: value for name, value in found.items() if name in self.own}

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        weights = self.weights | self.own
        return sum(weights[name] * value for name, value in terms.items())

    def _views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Squares (N, 1, side, side) of I o B, occluded; B of each, a square's point to the image's, in the method's
        unit; and the share of head of its blocks (N, M), covered or not."""
        unit, count = self.method.unit, len(images)
        if self.mirrored:  # such a head lies in the template's frame as well: its middle is the lattice's
            chosen = torch.rand(count, generator=generator) < 0.5
            images = torch.where(chosen[:, None, None, None], images.flip(-1), images)
        b = self.ranges.draw(count, unit, generator)
        shown, head = moved(torch.cat([images, (images > INSIDE).float()], 1), b, unit).split(1, 1)
        pictures = torch.cat([occluded(shown, self.occlusion, generator), head], 1)
        again = torch.arange(count) % SECOND == 0
        e = NEAR.draw(int(again.sum()), unit, generator)
        pictures[again] = moved(pictures[again], torch.linalg.inv(b[again]) @ e, unit)
        b[again] = e
        if self.network.canonical:
            first = ~again
            view = canonical(pictures[first, :1], unit)
            pictures[first] = moved(pictures[first], view, unit)
            b[first] = b[first] @ view
        squares, shift = self.network.squared(pictures)
        b = b @ shift
        turns = torch.stack([b @ quarter(k) for k in range(4)], 1)
        order = turned(turns.flatten(0, 1)).reshape(count, 4).argsort(1)
        drawn = torch.rand(count, generator=generator)
        rank = torch.where(drawn < VIEWS[0], 0, torch.where(drawn < VIEWS[1], 1, 2))
        rank = rank + (rank == 2) * torch.randint(2, (count,), generator=generator)
        chosen = order.gather(1, rank[:, None])[:, 0]
        squares = torch.stack([torch.rot90(s, int(k), (-2, -1)) for s, k in zip(squares, chosen, strict=True)])
        shown = squares[:, :1]
        if self.looks:
            shown = random_looks(shown, generator)
        return shown, turns[torch.arange(count), chosen], F.avg_pool2d(squares[:, 1:], BLOCK).flatten(1)


def dense_terms(said: Places, points: Tensor, targets: Tensor, heads: Tensor) -> dict[str, Tensor]:
    """The dense terms of N squares. points: (M, 2); targets: (N, 3, 3), square to template; heads: (N, M) share of
    head."""
    turns = turned(targets)
    known, sided = turns < KNOWN, (turns < UPRIGHT[0]) | (turns > UPRIGHT[1])
    which = F.binary_cross_entropy_with_logits(said.upright, (turns < UPRIGHT[0]).float(), reduction="none")
    true = points @ targets[:, :2, :2].transpose(1, 2) + targets[:, None, :2, 2]
    away = (said.coordinates - true).abs().sum(-1)
    mass = heads / heads.sum(1, keepdim=True).clamp(min=FEW)
    # Laplace's law: what the network says of its own error learns from the error, not the other way round
    sure = away.detach() / (said.spread.exp() + 1e-3) + 2 * said.spread
    return {
        "places": (known * (mass * away).sum(1)).sum() / known.sum().clamp(min=1),
        "sureness": (mass * sure).sum(1).mean(),
        "head": F.binary_cross_entropy_with_logits(said.head, heads),
        "upright": (sided * which).sum() / sided.sum().clamp(min=1),
    }


def turned(matrices: Tensor) -> Tensor:
    """(N,) degrees by which maps (N, 3, 3) with a positive determinant turn, either way."""
    sine = matrices[:, 1, 0] - matrices[:, 0, 1]
    return torch.atan2(sine, matrices[:, 0, 0] + matrices[:, 1, 1]).abs() * (180 / math.pi)
