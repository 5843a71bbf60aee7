"""Whether a model's contents of two modalities agree where both images show the same place, and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import resample
from ..methods.base import Method
from .slice_pairs import SPACING, SlicePair

SHIFTS = (1, 2, 4, 8)  # pixels by which aligned images are moved apart


@torch.no_grad()
def content_agreement(method: Method, pairs: list[SlicePair]) -> list[dict]:
    """Rows {"images", "cosine", "l1"}: means over the pairs' heads of the two images' contents (method.features), the
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
    a, b = (x[0][:, pair.mask].float() for x in method.features(pair.fixed.tensor[None], image[None]))
    cosine = torch.nn.functional.cosine_similarity(a, b, 0)
    return float(cosine.mean()), float((a - b).abs().mean())
