"""The canonical view: what is left of a pose in it, and what it makes of hardly anything."""

from __future__ import annotations

import torch

from DeepMultiModalRegLib.networks.canonical import ZOOM, canonical
from DeepMultiModalRegLib.networks.posing import moved
from DeepMultiModalRegLib.training.equivariant_poses import RANGES, PoseRanges

SHAPE, UNIT = (109, 91), 54.5


def head() -> torch.Tensor:
    """(1, 1, *SHAPE): an ellipse with soft borders and a bright eye, off the middle."""
    line_j, line_i = ((torch.arange(n) - (n - 1) / 2) for n in SHAPE)
    j, i = line_j[:, None] - 3, line_i[None] + 2
    body = (8 * (1 - ((i / 16).square() + (j / 22).square()).sqrt())).clamp(0, 1)
    eye = ((i - 4).square() + (j - 9).square() < 30).float()
    return (0.5 * body + 0.5 * eye)[None, None]


def test_of_a_whole_head_only_a_turn_is_left():
    """M(I)^-1 B M(I o B) is orthogonal and shifts nothing, for wide scales and shears."""
    images = head().repeat(40, 1, 1, 1)
    ranges = PoseRanges(5, 180, 0.5, 0.3, inside=True)
    b = ranges.draw(len(images), UNIT, torch.Generator().manual_seed(0))
    seen = moved(images, b, UNIT)
    left = torch.linalg.inv(canonical(images, UNIT)) @ b @ canonical(seen, UNIT)
    assert (left @ left.transpose(1, 2) - torch.eye(3)).abs().max() < 0.06
    assert left[:, :2, 2].abs().max() < 0.02


def test_the_view_has_the_spread_it_promises():
    view = moved(head(), canonical(head(), UNIT), UNIT)
    again = canonical(view, UNIT)
    assert (again - torch.eye(3)).abs().max() < 0.03


def test_pieces_and_nothing_have_a_view_within_the_limits():
    images = moved(head().repeat(60, 1, 1, 1), RANGES["D1-far"].draw(60, UNIT, torch.Generator().manual_seed(1)), UNIT)
    images[:3] = 0
    view = canonical(images, UNIT)
    stretch = torch.linalg.svdvals(view[:, :2, :2])
    assert torch.isfinite(view).all() and (torch.linalg.det(view) > 0).all()
    assert stretch.min() > ZOOM[0] - 1e-4 and stretch.max() < ZOOM[1] + 1e-4
    assert view[:3, :2, 2].abs().max() < 1e-3
