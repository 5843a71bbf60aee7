"""The equivariant method's objective for a dense head: the published equation, asked of every block of pixels too, and
four turns of a slice that compete, as they do in use."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..losses import equivariance as losses
from ..methods.equivariant import Equivariant
from ..methods.equivariant_turns import degrees, turned_squares, upright_squares
from ..networks.canonical import canonical
from ..networks.dense_regressor import BLOCK, DenseRegressor, Places
from ..networks.posing import moved
from .equivariant import EquivariantObjective
from .equivariant_looks import INSIDE, random_looks
from .equivariant_poses import D0, PoseRanges, bent, occluded, wholly_moved

TERMS = ("places", "sureness", "head", "upright", "turn")
KNOWN = 65.0  # degrees of turn up to which places are taught: beyond, a quarter turn of the square is the better view
FEW = 4.0  # blocks of head: an image that shows less counts less
UPRIGHT = (45.0, 90.0)  # degrees of turn below which a view is upright, and beyond which it is not
SECOND = 3  # one right second look in so many is at a random near pose
NEAR = PoseRanges(translation=8, rotation=20, shear=0.15, scale=0.15)  # what the first look leaves
LOOKS = 0.5  # share of slices that are shown with another look, where that is asked for
SOFT = 20.0  # degrees around an eighth turn within which two quarter turns share the truth
APART = 20.0  # degrees by which a second look must be further from upright than the nearest to count as wrong


class DenseObjective(EquivariantObjective):
    """As EquivariantObjective, of a method with the head "dense"; of the published terms it knows template alone.

    Every slice is looked at as methods/equivariant_turns.py does: in four quarter turns of its canonical view, then as
    the answers bring it upright: the right turn's and `rivals` wrong ones, one that the network believes or all three;
    every third right one is a random near pose instead. Shown what its own wrong answers make of a head, the network
    learns what is wrong with them.

    places: how far every block's place in the template is from B x, taught of near turns alone. sureness: how well the
    network knows that distance. head, upright: whether it knows what is head, and which way is up. turn: cross-entropy
    of the four first looks' words for being upright, and of the second looks'; where all four are looked at again, of
    the sum of both, as in use. template: the published |B R(I o B) - Id| of the looks that are not turned far.
    near: share of slices whose pose is drawn from D0 instead of the stage's ranges. mirrored: every other image is.
    bend: pixels, of training/equivariant_poses.py `bent`. whole: share of steps whose slices are covered first and then
    posed on a picture that cuts nothing off, so that what covers them is turned and slanted too.
    """

    def __init__(
        self,
        method: Equivariant,
        weights: dict[str, float],
        *others,
        mirrored: bool = False,
        near: float = 0.0,
        rivals: int = 1,
        bend: float = 0.0,
        whole: float = 0.0,
        **more,
    ) -> None:
        self.own = {name: weight for name, weight in weights.items() if name in TERMS}
        published = {name: weight for name, weight in weights.items() if name not in TERMS}
        if unknown := set(published) - {"template"}:
            raise ValueError(f"The terms {sorted(unknown)} are not among {', '.join((*TERMS, 'template'))}.")
        super().__init__(method, published, *others, **more)
        assert isinstance(method.regressor, DenseRegressor)
        self.network, self.mirrored, self.near = method.regressor, mirrored, near
        self.rivals, self.bend, self.whole = rivals, bend, whole

    def images_per_slice(self) -> int:
        return 5 + self.rivals

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        weights = self.weights | self.own
        return sum(weights[name] * value for name, value in terms.items())

    def terms(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """images: (N, 1, *shape) slices in the place where they were found."""
        count, unit = len(images), self.method.unit
        with torch.autocast(images.device.type, enabled=False):  # half precision is for the network alone
            pictures, b = self._pictures(images, generator)
            squares, places = turned_squares(self.network, pictures, canonical(pictures[:, :1], unit))
            first, targets = squares.flatten(0, 1), (b @ places).flatten(0, 1)
        said = [self.network.places(first[:, :2])]
        with torch.autocast(images.device.type, enabled=False):
            found = [self.network.maps(said[0])]
            answers = places @ torch.linalg.inv(found[0].detach()).reshape(4, count, 3, 3)
            angles, words = degrees(targets).reshape(4, count), said[0].upright.reshape(4, count)
            looks = 1 + self.rivals
            chosen, which = self._second(answers, angles, words.detach(), b, generator)
            second, later = upright_squares(self.network, pictures.repeat(looks, 1, 1, 1), chosen.flatten(0, 1))
        said.append(self.network.places(second[:, :2], again=True))
        with torch.autocast(images.device.type, enabled=False):
            later = b.repeat(looks, 1, 1) @ later
            targets = torch.cat([targets, later])
            found.append(self.network.maps(said[1]))
            whole = Places(*(torch.cat([getattr(s, name) for s in said]) for name in Places.__dataclass_fields__))
            heads = F.avg_pool2d(torch.cat([first, second])[:, 2:], BLOCK).flatten(1)
            terms = dense_terms(whole, self.network.points, targets, heads)
            again = said[1].upright.reshape(looks, count)
            if looks == len(words):
                again = again + words.detach().gather(0, which)
            terms["turn"] = _four(words, angles) + _nearest(again, degrees(later).reshape(looks, count))
            terms = {name: value for name, value in terms.items() if name in self.own}
            if "template" in self.weights:
                known = degrees(targets) < KNOWN
                terms["template"] = losses.reference(
                    torch.linalg.inv(torch.cat(found)[known]), targets[known], self.norm
                )
        return terms

    def _pictures(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(N, 3, *shape): I o B as it is seen, the frame, and where I o B has a head, covered or not; B (N, 3, 3)."""
        unit, count = self.method.unit, len(images)
        if self.mirrored:  # such a head lies in the template's frame as well: its middle is the lattice's
            chosen = torch.rand(count, generator=generator) < 0.5
            images = torch.where(chosen[:, None, None, None], images.flip(-1), images)
        if self.bend:
            images = bent(images, self.bend, generator)
        b = self.ranges.draw(count, unit, generator)
        near = torch.rand(count, generator=generator) < self.near
        b = torch.where(near[:, None, None], D0.draw(count, unit, generator), b)
        head = (images > INSIDE).float()
        if self.whole and torch.rand((), generator=generator) < self.whole:
            covered = torch.cat([occluded(images, self.occlusion, generator), head], 1)
            shown, head = wholly_moved(covered, b, unit).split(1, 1)
        else:
            shown, head = moved(torch.cat([images, head], 1), b, unit).split(1, 1)
            shown = occluded(shown, self.occlusion, generator)
        if self.looks:
            chosen = torch.rand(count, generator=generator) < LOOKS
            shown = torch.where(chosen[:, None, None, None], random_looks(shown, generator), shown)
        return torch.cat([shown, torch.ones_like(shown), head], 1), b

    def _second(self, answers: Tensor, angles: Tensor, words: Tensor, b: Tensor, generator) -> tuple[Tensor, Tensor]:
        """(1 + rivals, N, 3, 3) poses of the second looks, template to picture, and (1 + rivals, N) the turn that each
        is of: the right ones, then wrong ones, drawn by how much the first look believes them. answers: (4, N, 3, 3),
        angles, words: (4, N)."""
        every, right = torch.arange(len(b)), angles.argmin(0)
        believed = (words.softmax(0) + 1e-6).scatter(0, right[None], 0.0)
        wrong = torch.multinomial(believed.T, self.rivals, generator=generator).T
        which = torch.cat([right[None], wrong])
        poses = answers[which, every]
        drawn = every % SECOND == 0
        jitter = NEAR.draw(int(drawn.sum()), self.method.unit, generator)
        poses[0, drawn] = torch.linalg.inv(b[drawn]) @ jitter
        return poses, which


def dense_terms(said: Places, points: Tensor, targets: Tensor, heads: Tensor) -> dict[str, Tensor]:
    """The dense terms of N squares, but for the turns'. points: (M, 2); targets: (N, 3, 3), square to template; heads:
    (N, M) share of head."""
    turns = degrees(targets)
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


def _four(words: Tensor, angles: Tensor) -> Tensor:
    """Cross-entropy of four turns' logits (4, N) that are turned by `angles` (degrees)."""
    nearest, order = angles.sort(0)
    share = (0.5 + (45.0 - nearest[0]) / SOFT).clamp(0.5, 1.0)
    target = torch.zeros_like(words).scatter(0, order[:2], torch.stack([share, 1 - share]))
    return -(target * words.log_softmax(0)).sum(0).mean()


def _nearest(words: Tensor, angles: Tensor) -> Tensor:
    """The same of second looks (K, N), where all that are about as near to upright as the nearest one are right: some
    end in the same place."""
    right = angles < angles.amin(0) + APART
    known = words.masked_fill(~right, -torch.inf).logsumexp(0) - words.logsumexp(0)
    clear = ~right.all(0)
    return -(clear * known).sum() / clear.sum().clamp(min=1)
