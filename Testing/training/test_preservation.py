"""How far a translator moves edges and commutes with warping, on translators that are known."""

from __future__ import annotations

import pytest
import torch
from training.test_pairs import sampler

from DeepMultiModalRegLib.training.preservation import commutation, edge_distance, preservation

SHAPE = (48, 48)


def disc(shift: int = 0) -> torch.Tensor:
    """A bright disc on a dim one, `shift` pixels to the right."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in SHAPE), indexing="ij")
    r = torch.hypot(rows - 24, columns - 24 - shift)
    return 0.2 + 0.6 * torch.sigmoid(2 * (9 - r))


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_edges_moved_along_one_axis_are_found_about_so_far_away(shift):
    inside = torch.ones(SHAPE, dtype=torch.bool)
    moved = edge_distance(disc(), disc(shift), inside)
    # a circle's points move sideways by all of the shift, above and below by nothing
    assert 0.4 * shift < moved <= shift + 0.1
    assert edge_distance(disc(), 1 - disc(), inside) == 0, "another contrast has the same edges"


def test_grey_levels_alone_commute_and_a_translator_that_sees_places_does_not():
    image = disc()[None, None]
    turn = torch.zeros(1, 2, *SHAPE)
    turn[:, 0] = 4.0
    assert commutation(lambda x: 1 - x, image, turn) < 1e-5
    assert commutation(lambda x: x * torch.linspace(0, 1, SHAPE[1]), image, turn) > 0.01


def test_a_perfect_translator_is_on_and_the_identity_is_as_far_off_as_the_images():
    pairs = [sampler(SHAPE).draw(torch.Generator().manual_seed(n), sampler(SHAPE).recipes[0]) for n in range(6)]
    pairs = [pair for pair in pairs if pair.truth is not None]
    assert pairs
    found = preservation(lambda x: x, pairs, 2.0)
    assert found["off"] == found["off_untranslated"] > 0
    assert found["edges_mm"] == 0
    assert found["commutation"] < 1e-6


def test_without_a_known_field_nothing_is_said():
    assert preservation(lambda x: x, [], 2.0) == {}
