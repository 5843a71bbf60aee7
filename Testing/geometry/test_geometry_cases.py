"""Some of the forty pairs: the known motion is found within half a voxel in the world (see run.py for all)."""

from __future__ import annotations

import pytest

from geometry.cases import LATTICES, PAIRS, geometry
from geometry.run import WITHIN, measured

# sheared and thick; cropped; a metre away; nested parents of both; a parent that bends space
CHOSEN = (19, 24, 27, 35, 38)


@pytest.mark.parametrize("number", CHOSEN)
def test_the_known_motion_is_found_within_half_a_voxel(number):
    case = geometry(number)
    if case.needs_slicer:
        pytest.importorskip("slicer", reason="slicer-core is not installed")
    found = measured(case)
    assert found.motion > 8  # there was something to find
    assert found.p95 <= WITHIN * found.voxel and found.warped < 2.0, found


def test_the_forty_pairs_meet_every_lattice_on_both_sides():
    assert len(PAIRS) == 40
    assert {pair[0] for pair in PAIRS} | {pair[1] for pair in PAIRS} == set(LATTICES)
    for kind in ("sheared", "cropped", "left-handed", "oblique", "anisotropic"):
        for side in (0, 1):
            assert any(kind in pair[side] for pair in PAIRS), (kind, side)
