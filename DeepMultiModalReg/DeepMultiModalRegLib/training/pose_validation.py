"""Validation of the network that finds poses: how far its answers turn and shift, by kind of image."""

from __future__ import annotations

import torch
from torch import Tensor

from ..methods.equivariant_volume import EquivariantVolume
from .pose_objective import corner_distance
from .pose_sampler import PoseBatch

GROSS_DEGREES = 30.0  # beyond this no refinement finds its way back


@torch.no_grad()
def pose_errors(method: EquivariantVolume, batches: list[PoseBatch], scan: bool = False) -> dict:
    """degrees, mm (mean over the corners of the brain's box), doubt: (N,); kinds: N words. scan: look from 24 sides."""
    method.eval()
    degrees, mm, doubt, kinds = [], [], [], []
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16):
            found = method.scan(batch.images) if scan else method.locate(batch.images)
        degrees.append(rotation_degrees(found.matrix, batch.matrix))
        mm.append(corner_distance(found.matrix, batch.matrix))
        doubt.append(found.doubt)
        kinds += batch.kinds
    method.train()
    return {"degrees": torch.cat(degrees), "mm": torch.cat(mm), "doubt": torch.cat(doubt), "kinds": kinds}


def rotation_degrees(one: Tensor, other: Tensor) -> Tensor:
    """(N,): the angle between the rotations of two (N, 4, 4) maps, by their polar decompositions."""
    turns = []
    for matrix in (one, other):
        u, _, vh = torch.linalg.svd(matrix[:, :3, :3].double())
        turns.append(u @ vh)
    trace = (turns[0] * turns[1]).sum((1, 2))
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).float()


def summary(errors: dict) -> dict:
    """Median, 90th and 95th percentile of the degrees, the share of gross failures, overall and by kind."""
    degrees, kinds = errors["degrees"], errors["kinds"]
    rows = {"all": _row(degrees, errors["mm"])}
    for word in sorted({w for kind in kinds for w in kind.split("/")}):
        chosen = torch.tensor([word in kind.split("/") for kind in kinds])
        rows[word] = _row(degrees[chosen], errors["mm"][chosen])
    sorted_doubt = errors["doubt"].argsort()
    half = sorted_doubt[: len(sorted_doubt) * 4 // 5]
    rows["surest 80 %"] = _row(degrees[half], errors["mm"][half])
    return rows


def _row(degrees: Tensor, mm: Tensor) -> dict:
    at = [round(degrees.quantile(q).item(), 1) for q in (0.5, 0.9, 0.95)]
    return {"n": len(degrees), "median": at[0], "p90": at[1], "p95": at[2], "mm": round(mm.median().item(), 1),
            "gross_percent": round((degrees > GROSS_DEGREES).float().mean().item() * 100, 1)}  # fmt: skip
