"""Whether a translator leaves geometry alone: does it commute with warping, and where do edges lie afterwards?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..networks.warp import warp
from .field_terms import HEAD
from .pairs import Pair

EDGES = 0.1  # share of the head's pixels that count as edges: the steepest
FAINT = 0.02  # grey levels a voxel: gentler slopes are no edges
REACH = 40.0  # voxels: further apart edges have nothing to do with each other


def commutation(translate: Callable[[Tensor], Tensor], image: Tensor, displacement: Tensor) -> float:
    """Mean |T(a o phi) - T(a) o phi| inside the head of a o phi, grey levels in [0, 1].

    image: a (N, 1, *shape); displacement: phi (N, D, *shape) voxels. What interpolation alone costs is in it: warping
    blurs before T in one order and after it in the other.
    """
    warped = warp(image, displacement)
    inside = warped > HEAD
    return float((translate(warped).float() - warp(translate(image).float(), displacement)).abs()[inside].mean())


def edges(image: Tensor, inside: Tensor) -> Tensor:
    """(M, 2) rows and columns of the edges of a slice (*shape): the steepest EDGES of the pixels inside the head,
    thinned to the crest of the slope; in [0, 1]."""
    dy, dx = torch.gradient(image.double())
    slope = torch.hypot(dy, dx) * inside
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in image.shape), indexing="ij")
    across = dx.abs() >= dy.abs()
    sign = torch.where(across, torch.ones_like(dx), torch.sign(dy)).long()
    step_r, step_c = torch.where(across, 0, sign), torch.where(across, 1, 0)
    crest = slope > 0
    for way in (1, -1):
        r = (rows + way * step_r).clamp(0, image.shape[0] - 1)
        c = (columns + way * step_c).clamp(0, image.shape[1] - 1)
        crest &= slope >= slope[r, c]
    wanted = max(1, int(EDGES * int(inside.sum())))
    candidates = torch.where(crest, slope, torch.zeros_like(slope)).flatten()
    kept = candidates.argsort(descending=True, stable=True)[:wanted]
    kept = kept[candidates[kept] > FAINT]
    return torch.stack([kept // image.shape[1], kept % image.shape[1]], 1)


def edge_distance(source: Tensor, rendered: Tensor, inside: Tensor) -> float:
    """Mean distance, pixels, from the edges of a rendered slice (*shape) to the nearest edge of its source."""
    a, b = edges(source, inside).double(), edges(rendered, inside).double()
    if not len(a) or not len(b):
        return float("nan")
    return float(torch.cdist(b, a).amin(1).clamp(max=REACH).mean())


@torch.no_grad()
def preservation(translate: Callable[[Tensor], Tensor], pairs: list[Pair], spacing: float) -> dict[str, float]:
    """What a translator from the first modality to the second does on pairs of one person whose field is known.

    commutation: under those fields. off, off_untranslated: mean |T(a) - b| and |a - b| in the head, a and b aligned by
    the known field. edges_mm: from the edges of T(a) to the nearest of a; edges_real_mm: from those of the real b,
    which is aligned too: what two modalities of one head differ by.
    """
    rows = []
    for pair in pairs:
        if pair.truth is None:
            continue
        turned = pair.modalities[1] > pair.modalities[0]  # the moving image is of the second modality
        aligned = warp(pair.moving, pair.truth)
        a, b = (pair.fixed, aligned) if turned else (aligned, pair.fixed)
        rendered = translate(a).float()
        inside = (a > HEAD) & (b > HEAD)
        row = [
            commutation(translate, pair.fixed if turned else pair.moving, pair.truth),
            float((rendered - b).abs()[inside].mean()),
            float((a - b).abs()[inside].mean()),
        ]
        planes = [_middle(x) for x in (a, rendered, b, inside)]
        row += [edge_distance(planes[0], other, planes[3]) * spacing for other in planes[1:3]]
        rows.append(row)
    names = ("commutation", "off", "off_untranslated", "edges_mm", "edges_real_mm")
    if not rows:
        return {}
    return dict(zip(names, torch.tensor(rows, dtype=torch.float64).nanmean(0).tolist(), strict=True))


def _middle(x: Tensor) -> Tensor:
    """(*plane) of (1, 1, *shape): a slice, or a volume's middle axial one."""
    return (x[0, 0] if x.dim() == 4 else x[0, 0, x.shape[2] // 2]).cpu()
