"""Contrasts for label maps of a whole head: T1-, T2-, PD-, FLAIR- and CT-like, or any."""

from __future__ import annotations

import torch
from torch import Tensor

from .deformation import uniform

# FreeSurfer's and SynthSeg's label numbers by tissue
TISSUES = {
    "wm": (2, 41, 7, 46, 28, 60, 85, 16, 530),
    "gm": (3, 42, 8, 47, 17, 53, 18, 54, 26, 58, 11, 50, 12, 51, 136, 137, 163, 164, 172),
    "deep": (10, 49, 13, 52, 25, 57, 30, 62),
    "csf": (4, 43, 5, 44, 14, 15, 24, 72),
    "eye": (506,),
    "soft": (508, 509, 512),
    "fat": (507, 511),
    "marrow": (516,),
    "bone": (515,),
    "blood": (502, 514),
}
ORDER = tuple(TISSUES)
OF_LABEL = {label: number for number, labels in enumerate(TISSUES.values()) for label in labels}
LEVELS = {  # grey levels of the tissues, in their order
    "t1": (0.80, 0.55, 0.66, 0.20, 0.20, 0.50, 0.85, 0.75, 0.10, 0.30),
    "t2": (0.42, 0.62, 0.48, 1.00, 0.95, 0.33, 0.65, 0.50, 0.10, 0.15),
    "pd": (0.72, 0.90, 0.78, 0.85, 0.85, 0.70, 0.80, 0.65, 0.15, 0.30),
    "flair": (0.60, 0.78, 0.66, 0.15, 0.15, 0.50, 0.75, 0.60, 0.08, 0.20),
    "ct": (0.41, 0.43, 0.43, 0.39, 0.40, 0.43, 0.36, 0.75, 1.00, 0.44),
}
NEWBORN = {"t1": (0.45, 0.58), "t2": (0.80, 0.58), "pd": (0.85, 0.80), "flair": (0.70, 0.75)}  # of wm and gm
SPREAD = {"ct": 0.015}
KINDS = (*LEVELS, "random")
CHANCE = (0.2, 0.2, 0.1, 0.12, 0.12, 0.26)  # of each kind


def draw_kind(generator: torch.Generator) -> str:
    return KINDS[int(torch.multinomial(torch.tensor(CHANCE), 1, generator=generator))]


def grey_levels(values: list[int], kind: str, newborn: bool, generator: torch.Generator) -> Tensor:
    """(len(values),) grey levels in about [0, 1] of the label numbers `values`, drawn anew; 0 for the background."""
    tissue = torch.tensor([OF_LABEL.get(v, ORDER.index("soft")) for v in values])
    if kind == "random":
        levels = uniform(0, 1, generator, len(ORDER))[tissue]
        apart = 0.15
    else:
        mean = torch.tensor(LEVELS[kind])
        if newborn and kind in NEWBORN:
            mean[:2] = torch.tensor(NEWBORN[kind])
        apart = SPREAD.get(kind, 0.05)
        levels = (mean + torch.randn(len(ORDER), generator=generator) * apart * 1.5)[tissue]
    # sides share a level nearly, structures of one tissue differ a little
    levels = levels + torch.randn(len(values), generator=generator) * apart * 0.4
    return levels.clamp(0.02, 1.2) * torch.tensor([float(v != 0) for v in values])


def stripped(values: list[int], generator: torch.Generator) -> Tensor:
    """(len(values),) 1 for what a skull stripping leaves, 0 for what it takes; now and then remains of the skull."""
    keep = torch.tensor([float(0 < v < 500) for v in values])
    csf = torch.tensor([v == 24 for v in values])
    chance = torch.rand(3, generator=generator)
    if chance[0] < 0.5:
        keep[csf] = 0
    if chance[1] < 0.2:
        keep = torch.maximum(keep, (torch.rand(len(values), generator=generator) < 0.3).float())
        keep[[v == 0 for v in values]] = 0
    return keep
