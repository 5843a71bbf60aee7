"""Whether a model's contents of two modalities agree where both images show the same place, and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import resample
from ..losses.mind import mind
from ..losses.place import displaced_places
from ..methods.base import Method
from .slice_pairs import SPACING, SlicePair

SHIFTS = (1, 2, 4, 8)  # pixels by which aligned images are moved apart


@torch.no_grad()
def content_agreement(method: Method, pairs: list[SlicePair]) -> list[dict]:
    """Rows {"images", "cosine", "l1"}: means over the pairs' heads of the two images' contents (method.contents), the
    moving one brought onto the fixed by the known transform; then moved on by so many pixels; as it was given; and of
    another slice. l1: of codes whose deviation is 1. Pairs without a known transform do not count."""
    known = [pair for pair in pairs if pair.truth is not None]
    aligned = [resample(pair.moving, pair.fixed.grid, pair.truth).tensor for pair in known]
    looks = {"aligned": aligned}
    looks |= {f"moved by {n} px ({n * SPACING:g} mm)": [x.roll(n, -1) for x in aligned] for n in SHIFTS}
    looks |= {"as given": [pair.moving.tensor for pair in known]}
    looks |= {"another slice": [aligned[(n + len(known) // 2) % len(known)] for n in range(len(known))]}
    method = method.eval()
    rows = []
    for words, images in looks.items():
        figures = [_figures(method, pair, image) for pair, image in zip(known, images, strict=True)]
        cosine, l1 = (sum(column) / len(column) for column in zip(*figures, strict=True))
        rows.append({"images": words, "cosine": cosine, "l1": l1})
    return rows


def _figures(method: Method, pair: SlicePair, image: Tensor) -> tuple[float, float]:
    a, b = (x[0][:, pair.mask].float() for x in method.contents(pair.fixed.tensor[None], image[None]))
    cosine = torch.nn.functional.cosine_similarity(a, b, 0)
    return float(cosine.mean()), float((a - b).abs().mean())


@torch.no_grad()
def told_places(method: Method, pairs: list[SlicePair]) -> list[dict]:
    """Rows {"features", "right", "off_mm"}: how well features say where one is. Of each of the head's pixels the one
    among its displaced places (losses.place.displaced_places) in the aligned moving image whose features differ least:
    the share that is the right one, percent, and the mean distance from the right one. Contents, MIND-SSC, and what
    refinement takes (method.features). Chance: 4 %, and the mean reach."""
    known = [pair for pair in pairs if pair.truth is not None]
    method = method.eval()
    found: dict[str, list[tuple[float, float]]] = {}
    for pair in known:
        fixed, aligned = pair.fixed.tensor[None], resample(pair.moving, pair.fixed.grid, pair.truth).tensor[None]
        described = {
            "contents": method.contents(fixed, aligned),
            "MIND": (mind(fixed), mind(aligned)),
            "both, as refinement takes them": method.features(fixed, aligned),
        }
        for words, (a, b) in described.items():
            found.setdefault(words, []).append(_told(a[0].float(), b[0].float(), pair.mask))
    return [
        {"features": words, "right": 100 * right, "off_mm": off * SPACING}
        for words, rows in found.items()
        for right, off in [tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))]
    ]


def _told(a: Tensor, b: Tensor, mask: Tensor) -> tuple[float, float]:
    """The share of the mask's pixels that are told right, and how many pixels off they are on average."""
    places = torch.tensor(displaced_places(2), device=a.device)
    reach = int(places.max())
    inside = torch.zeros_like(mask)
    inside[reach:-reach, reach:-reach] = mask[reach:-reach, reach:-reach]
    near = inside.nonzero()[:, None] + places
    here, there = (x[:, n[..., 0], n[..., 1]] for x, n in ((a, near[:, :1]), (b, near)))
    best = (here - there).square().mean(0).argmin(1)
    return float((best == 0).float().mean()), float(places[best].float().norm(dim=1).mean())
