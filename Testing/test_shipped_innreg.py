"""The shipped INNReg models: inverted exactly, they translate either way (as the disentangled), and CT finds its MR."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundled import bundled_pair, ct_like

from DeepMultiModalRegLib.core import Image, resample
from DeepMultiModalRegLib.engine import load, register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.intensity import normalise
from DeepMultiModalRegLib.engine.start import first_alignment
from DeepMultiModalRegLib.io import read_image, read_transform

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted(path.parent.name for path in (ROOT / "models").glob("innreg-*/model.yaml"))
TRANSLATING = sorted(path.parent.name for path in (ROOT / "models").glob("*-t1t2-*-2d/model.yaml"))
# both ways and by themselves; in 3D the same translators, slowly
T1T2 = [name for name in TRANSLATING if name.startswith(("innreg", "disentangled"))]
SAMPLE = ROOT / "Resources" / "SampleData"


@pytest.fixture(scope="module")
def pair():
    return bundled_pair()


def likeness(a: Image, b: Image, inside: torch.Tensor) -> float:
    """The correlation of grey levels inside the head."""
    values = torch.stack([x.tensor[0].double()[inside] for x in (a, b)])
    return float(torch.corrcoef(values)[0, 1])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_translator_is_inverted_to_four_digits_in_float32(name, pair):
    translator = load(name).method.translator
    translator = getattr(translator, "network", translator)  # of three planes
    slices = normalise(pair[0].tensor)[0, 12:36:8, ::2, ::2][:, None].repeat(1, 2, 1, 1)
    with torch.no_grad():
        there, back = translator.pair(slices), translator.pair(slices, inverse=True)
        assert (there - slices).abs().max() > 0.1, "it does nothing"
        assert (translator.pair(there, inverse=True) - slices).abs().max() < 1e-4
        assert (translator.pair(back) - slices).abs().max() < 1e-4


@pytest.fixture(scope="module")
def aligned(pair):
    """T1, T2 and the head on one lattice, aligned by the truth, so that grey levels alone are judged."""
    t2 = resample(pair[1], pair[0].grid, read_transform(SAMPLE / "truth.h5"))
    return pair[0], t2, read_image(SAMPLE / "fixed_head_mask.nii.gz")[0].tensor[0] > 0


@pytest.mark.parametrize("name", T1T2)
def test_t1_rendered_as_t2_is_more_like_t2(name, aligned):
    t1, t2, head = aligned
    result = register(t2, t1, model=name, start="none", translated=True)
    before, after = (likeness(image, t2, head) for image in (result.warped, result.translated))
    assert result.translated.grid.same_as(t2.grid)
    gain = 0.1 if name.startswith("innreg") else 0.05  # contents at half the resolution leave a softer image
    assert after > before + gain, f"{before:.2f} untranslated, {after:.2f} translated"


@pytest.mark.parametrize("name", T1T2)
def test_t2_rendered_as_t1_by_the_same_network_has_dark_fluid(name, aligned):
    t1, t2, head = aligned
    result = register(t1, t2, model=name, start="none", translated=True)
    grey = normalise(t2.tensor)[0]
    fluid, tissue = head & (grey > 0.9), head & (grey > 0.25) & (grey < 0.5)
    levels = {key: [float(image.tensor[0].double()[where].mean()) for where in (fluid, tissue)] for key, image in
              (("warped", result.warped), ("translated", result.translated))}  # fmt: skip
    assert levels["warped"][0] > 1.5 * levels["warped"][1]
    assert levels["translated"][0] < levels["translated"][1], levels


@pytest.mark.parametrize("turned", [False, True])
def test_ct_finds_its_mr_and_mr_its_ct(turned, pair):
    """CT as it might look of the bundled head (no CT with a free licence is at hand), T2 of the scanner."""
    fixed, moving, points, there = ct_like(), *pair[1:]
    if turned:
        fixed, moving, points, there = moving, fixed, there, points
    start = first_alignment(fixed, moving, "moments", body_points(fixed, None), body_points(moving, None))
    started = float((start.points(points) - there).norm(dim=1).mean())
    for refine, share in ((0, 0.78), (20, 0.4)):
        result = register(fixed, moving, model="innreg-ctmr-brain-2d", refine=refine)
        done = float((result.transform.points(points) - there).norm(dim=1).mean())
        assert done < share * started, f"{started:.2f} mm after moments, {done:.2f} now, {refine} steps of refinement"
        assert result.report["folds_percent"] < 0.1
