"""The shipped weights on the bundled real pair, whose truth is known: each model must beat its start."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from bundled import bundled_pair

from DeepMultiModalRegLib.core import Affine, Transform
from DeepMultiModalRegLib.engine import installed_models, register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.start import first_alignment

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "Resources" / "SampleData"
OF_SLICES = "equivariant-t2-brain-2d"  # knows one plane of the head: tested in methods/test_equivariant_shipped.py
SHIPPED = sorted({path.parent.name for path in (ROOT / "models").glob("*/model.yaml")} - {OF_SLICES})
EXPECTED = [OF_SLICES, "equivariant-any-brain-3d", "hierarchical-t1t2-brain-2d", "hierarchical-t1t2-brain-3d"]
EXPECTED += ["nemar-t1t2-brain-2d", "nemar-ctmr-brain-2d", "nemar-t1t2-brain-3d", "nemar-affine-t1t2-brain-3d"]
EXPECTED += ["disentangled-t1t2-brain-2d", "disentangled-ctmr-brain-2d", "disentangled-t1t2-brain-3d"]
EXPECTED += ["innreg-t1t2-brain-2d", "innreg-ctmr-brain-2d", "innreg-t1t2-brain-3d"]


@pytest.fixture(scope="module")
def pair():
    return bundled_pair()


def mean_error(transform: Transform, pair) -> float:
    """mm inside the head."""
    return float((transform.points(pair[2]) - pair[3]).norm(dim=1).mean())


def test_the_promised_models_are_shipped_and_valid():
    models, broken = installed_models()
    assert not broken
    assert set(EXPECTED) <= {model.name for model in models}


@pytest.fixture(scope="module")
def registered(pair):
    """(name) -> the start and a model's result from it, on the bundled pair; once for all tests."""
    fixed, moving = pair[:2]
    start = first_alignment(fixed, moving, "moments", body_points(fixed, None), body_points(moving, None))
    return functools.cache(lambda name: (start, register(fixed, moving, model=name, start=start)))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_beats_its_start_on_the_bundled_pair_without_folds(name, pair, registered):
    start, result = registered(name)
    scanned, started, done = (mean_error(t, pair) for t in (Affine.identity(3), start, result.transform))
    # slice by slice nothing moves through the plane, where this pair was turned too
    share = 0.5 if name.endswith("3d") else 0.9
    assert done < share * started, f"{scanned:.2f} mm as scanned, {started:.2f} after the start, {done:.2f} now"
    assert result.report["folds_percent"] < 0.1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_gives_the_same_bits_twice(name, pair, registered):
    start, first = registered(name)
    second = register(*pair[:2], model=name, start=start)
    assert torch.equal(first.transform.points(pair[2]), second.transform.points(pair[2]))
