"""Refinement on the bundled real pair, whose truth is known: from the network as from the affine alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundled import bundled_pair

from DeepMultiModalRegLib.core import folds
from DeepMultiModalRegLib.engine import register

SAMPLE = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"


@pytest.fixture(scope="module")
def pair():
    return bundled_pair()


def test_from_the_shipped_network_it_ends_as_well_as_from_the_affine_and_far_better_than_either_alone(pair):
    fixed, moving, points, truth = pair
    errors = {}
    for model in ("hierarchical-t1t2-brain-3d", "affine"):
        for steps in (0, 20):
            result = register(fixed, moving, model, refine=steps)
            errors[model, steps] = float((result.transform.points(points) - truth).norm(dim=1).mean())
        assert errors[model, 20] < 0.75 * errors[model, 0]
        assert folds(result.transform, fixed.grid) < 0.1
    assert errors["hierarchical-t1t2-brain-3d", 20] < 1.1 * errors["affine", 20]
