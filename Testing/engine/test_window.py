"""A model that knows CT from printed pictures sees CT in Hounsfield units as it would be printed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import Constant, model_of, write_tiny_model

from DeepMultiModalRegLib.core import Grid, Image
from DeepMultiModalRegLib.engine import load, register
from DeepMultiModalRegLib.engine.intensity import BRAIN_WINDOW

GRID = Grid.regular((64, 64), 2.0)


def head_in_hounsfield_units() -> Image:
    """Air, a ring of bone, and a brain whose halves differ by as little as grey and white matter."""
    x = GRID.points() - GRID.centre
    r = x.norm(dim=-1)
    hu = torch.full(GRID.shape, -1000.0)
    hu[r < 50] = 1200.0
    brain = r < 42
    hu[brain] = 30.0
    hu[brain & (x[..., 0] > 0)] = 42.0
    return Image(hu[None], GRID)


@pytest.mark.parametrize(("normalisation", "seen"), [("brain window", 12 / 110), ("quantile", 12 / 2200)])
def test_grey_and_white_matter_are_told_apart_in_the_brain_window_only(normalisation, seen):
    method = Constant(0.0, 0.0)
    model = replace(model_of(method), normalisation=normalisation)
    ct = head_in_hounsfield_units()
    mr = ct.with_tensor((ct.tensor + 1000) / 10)
    before = ct.tensor.clone()
    result = register(ct, mr, model=model, start="none")
    fixed, moving = method.seen[0]
    rows, columns = fixed.shape[2:]
    left, right = (fixed[0, 0, rows // 2, columns // 2 + side] for side in (-5, 5))
    assert float(right - left) == pytest.approx(seen, rel=0.15)
    assert float(fixed[0, 0, 0, 0]) == 0.0
    assert float(moving.max()) == 1.0 and torch.equal(ct.tensor, before)
    assert torch.equal(result.warped.tensor, mr.tensor)  # the images that come out are whole


def test_what_is_no_ct_stays_as_it_is():
    method = Constant(0.0, 0.0)
    mr = head_in_hounsfield_units()
    mr = mr.with_tensor((mr.tensor + 1000) / 10)
    seen = []
    for normalisation in ("brain window", "quantile"):
        register(mr, mr, model=replace(model_of(method), normalisation=normalisation), start="none")
        seen.append(method.seen[-1][0])
    assert torch.equal(*seen) and BRAIN_WINDOW[1] < float(mr.tensor.max())


def test_the_description_says_which(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    write_tiny_model(tmp_path, "tiny-a", normalisation="brain window")
    write_tiny_model(tmp_path, "tiny-b")
    assert [load(name).normalisation for name in ("tiny-a", "tiny-b")] == ["brain window", "quantile"]
