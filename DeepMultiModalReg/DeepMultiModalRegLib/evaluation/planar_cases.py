"""Planar cases: slices under known warps as cases of a list, so that 2D models stand in the same table as volumes.

    cases:
      - name: slices-adult
        group: slices, adult, T2 onto T1
        slices: {of: brainweb, count: 2, exchanged: false}  # of slice_pairs.SOURCES; exchanged: the other fixed
        peers: [ants-syn]

Such an entry stands for `count` cases, NAME-0 and so on.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..core import Image, InputError
from .cases import Case
from .slice_pairs import SOURCES, SlicePair, slice_pairs
from .structures import numbers_of, pairs_that_show, shown

KEYS = {"name", "group", "slices", "peers", "modalities"}
SEED = 0


def is_planar(described: dict) -> bool:
    return "slices" in described


def expanded(described: dict) -> list[dict]:
    """One description for each pair. Raises InputError."""
    settings = described["slices"]
    count = settings.get("count") if isinstance(settings, dict) else None
    known = isinstance(settings, dict) and set(settings) <= {"of", "count", "exchanged"}
    if not known or settings.get("of") not in SOURCES or not isinstance(count, int) or count < 1:
        raise InputError(
            f"The slices of case {described['name']} need `of:` (one of {', '.join(SOURCES)}) and `count:` (1 or "
            "more), and may have `exchanged:`; write them so."
        )
    if unknown := set(described) - KEYS:
        raise InputError(f"The case {described['name']} has unknown entries {sorted(unknown)} beside its slices.")
    return [
        {**described, "name": f"{described['name']}-{n}", "group": described.get("group", described["name"]), "pair": n}
        for n in range(count)
    ]


def planar_case(described: dict, data: Path) -> Case:
    """The pair of one expanded description. labels: caudate, putamen and thalamus, of those slices show that have
    them; else every label that counts."""
    settings = described["slices"]
    pairs = _pairs(data, settings["of"], settings["count"], bool(settings.get("exchanged")))
    if described["pair"] >= len(pairs):
        raise InputError(f"Of {settings['of']} only {len(pairs)} slices show enough; ask for no more (count).")
    pair = pairs[described["pair"]]
    return Case(
        described["name"], described["group"], pair.fixed, pair.moving, _labels(pair), pair.truth, pair.mask, None,
        tuple(described["modalities"]) if "modalities" in described else None,
    )  # fmt: skip


@lru_cache(maxsize=4)
def _pairs(data: Path, of: str, count: int, exchanged: bool) -> list[SlicePair]:
    source = SOURCES[of].exchanged() if exchanged else SOURCES[of]
    if not source.labels:
        return slice_pairs(data, count, SEED, source=source)
    return pairs_that_show(lambda n: slice_pairs(data, n, SEED, source=source), count)


def _labels(pair: SlicePair) -> dict[str, tuple[Image, Image]]:
    if not pair.labels:
        return {}
    label_set, _ = numbers_of(pair)
    counted = list(shown(pair).values())
    return {"structures": tuple(_only(image, counted) for image in pair.labels[label_set][:2])}


def _only(labels: Image, kept: list[int]) -> Image:
    tensor = labels.tensor.clone()
    inside = sum((tensor == value for value in kept), tensor != tensor)
    return labels.with_tensor(tensor.masked_fill(~inside, 0))
