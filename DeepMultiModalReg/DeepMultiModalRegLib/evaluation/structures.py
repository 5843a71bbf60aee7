"""Caudate, putamen and thalamus, left and right: where they are labelled, and slices that show them."""

from __future__ import annotations

from collections.abc import Callable

from .dice import dice, labels_of
from .slice_pairs import SlicePair

# label set of evaluation.slice_pairs: {structure: label}; FreeSurfer's numbers, and AAL's
NUMBERS = {
    "classes": {
        "caudate L": 11, "caudate R": 50, "putamen L": 12, "putamen R": 51, "thalamus L": 10, "thalamus R": 49
    },
    "aal": {"caudate L": 71, "caudate R": 72, "putamen L": 73, "putamen R": 74, "thalamus L": 77, "thalamus R": 78},
}  # fmt: skip
FEWEST = 15  # pixels of a structure that counts in a slice
SHOWN = 4  # structures that a slice must show


def shown(pair: SlicePair) -> dict[str, int]:
    """The structures that both images of a pair show, and their labels."""
    label_set, numbers = numbers_of(pair)
    fixed, moving, _ = pair.labels[label_set]
    common = labels_of(fixed.tensor, moving.tensor)
    return {
        name: value
        for name, value in numbers.items()
        if value in common and min(int((image.tensor == value).sum()) for image in (fixed, moving)) >= FEWEST
    }


def numbers_of(pair: SlicePair) -> tuple[str, dict[str, int]]:
    """The pair's label set that has the structures, and their labels there."""
    return next((name, numbers) for name, numbers in NUMBERS.items() if name in pair.labels)


def pairs_that_show(draw: Callable[[int], list[SlicePair]], count: int) -> list[SlicePair]:
    """About `count` pairs, evenly of those that show SHOWN structures; draw(n) makes n pairs over the whole brain."""
    many = [pair for pair in draw(6 * count) if len(shown(pair)) >= SHOWN]
    return [many[round((n + 0.5) * len(many) / count - 0.5)] for n in range(count)] if len(many) > count else many


def overlap(pair: SlicePair, warped) -> dict[str, float]:
    """Dice of each structure that the pair shows; warped: the moving's label tensor (1, *shape) on the fixed's
    lattice."""
    label_set, _ = numbers_of(pair)
    found = shown(pair)
    each = dice(pair.labels[label_set][0].tensor[0], warped[0], list(found.values()))
    return {name: each[value] for name, value in found.items()}
