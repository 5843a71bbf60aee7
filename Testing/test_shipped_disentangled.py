"""The shipped disentangled models: contents say where one is and which image is which, refinement gains by them, and CT
finds its MR."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundled import SAMPLE, bundled_pair, ct_like

from DeepMultiModalRegLib.core import Grid, Image, Transform, invert, reorient, resample
from DeepMultiModalRegLib.engine import load, register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.intensity import normalise
from DeepMultiModalRegLib.engine.start import first_alignment
from DeepMultiModalRegLib.evaluation.content_agreement import content_agreement, told_places
from DeepMultiModalRegLib.evaluation.displacement import summary, transform_errors
from DeepMultiModalRegLib.evaluation.slice_pairs import SlicePair, ranges
from DeepMultiModalRegLib.evaluation.warps import known_warp
from DeepMultiModalRegLib.io import read_transform

SHIPPED = sorted(p.parent.name for p in Path(__file__).resolve().parents[1].glob("models/disentangled-*/model.yaml"))
PLANE = "disentangled-t1t2-brain-2d"
SLICES = (22, 25, 28, 31)
LATTICE = Grid.regular((128, 128), 1.75)


@pytest.fixture(scope="module")
def slices() -> list[SlicePair]:
    """Axial slices of a real adult that nobody trained on: T1 fixed, T2 under a known warp."""
    t1, t2 = bundled_pair()[:2]
    t1 = reorient(t1)
    t2 = resample(t2, t1.grid, read_transform(SAMPLE / "truth.h5"))
    plane = Grid.regular(t1.grid.size[:2], t1.grid.spacing[:2])
    pairs = []
    for n, k in enumerate(SLICES):
        one, other = (resample(Image(image.tensor[:, k], plane), LATTICE) for image in (t1, t2))
        warp = known_warp(LATTICE, ranges(), 50 + n)
        moved, truth = resample(other, LATTICE, warp), invert(warp, LATTICE)[0]
        fixed, moving = (image.with_tensor(normalise(image.tensor)) for image in (one, moved))
        pairs.append(SlicePair(f"slice-{k}", fixed, moving, moving, {}, fixed.tensor[0] > 0.1, truth))
    return pairs


def error(transform: Transform, pair: SlicePair) -> float:
    """mm inside the head."""
    return summary(transform_errors(transform, pair.truth, pair.fixed.grid, pair.mask))["mean"]


def mean(values) -> float:
    return sum(values) / len(values)


def test_contents_tell_places_better_than_mind_and_both_together_better_still(slices):
    rows = {row["features"]: row for row in told_places(load(PLANE).method, slices)}
    contents, mind, both = rows.values()
    assert contents["right"] > mind["right"] > 4, "chance is one of 25"
    assert contents["off_mm"] < mind["off_mm"] and both["off_mm"] < mind["off_mm"]


def test_contents_of_aligned_images_agree_and_those_of_neighbours_less_and_less(slices):
    rows = {row["images"]: row["l1"] for row in content_agreement(load(PLANE).method, slices)}
    near, far = (rows[f"moved by {n} px ({n * 1.75:g} mm)"] for n in (1, 4))
    assert rows["aligned"] < near < far < 1.2 * max(rows["another slice"], rows["as given"])
    assert far > 1.3 * rows["aligned"], "most of a code must not be head against air"


@pytest.mark.parametrize("turned", [False, True])
def test_the_contents_say_which_image_is_t2(turned, slices):
    method = load(PLANE).method
    for pair in slices:
        aligned = resample(pair.moving, LATTICE, pair.truth).tensor[None]
        images = (aligned, pair.fixed.tensor[None]) if turned else (pair.fixed.tensor[None], aligned)
        assert method.moving_is_second(*images) is not turned, pair.name


def test_slices_come_together_in_both_directions_and_refinement_by_contents_beats_mind(slices):
    found: dict[str, list[float]] = {}
    for pair in slices:
        start = first_alignment(pair.fixed, pair.moving, "moments", body_points(pair.fixed), body_points(pair.moving))
        found.setdefault("start", []).append(error(start, pair))
        for by in (None, "mind", "model"):
            refined = {} if by is None else {"refine": 20, "refine_by": by}
            done = register(pair.fixed, pair.moving, model=PLANE, start=start, **refined)
            assert done.report["folds_percent"] < 0.1
            found.setdefault(str(by), []).append(error(done.transform, pair))
        back = register(pair.moving, pair.fixed, model=PLANE)  # T2 fixed: the same network
        points = pair.fixed.grid.points(torch.float32)[pair.mask]
        there = back.transform.points(pair.truth.points(points).float())
        found.setdefault("back", []).append(float((there - points).norm(dim=1).mean()))
    figures = {key: mean(values) for key, values in found.items()}
    assert figures["None"] < 0.5 * figures["start"] and figures["back"] < 0.5 * figures["start"], figures
    assert figures["model"] < figures["mind"], figures


@pytest.mark.parametrize("name", [name for name in SHIPPED if "ctmr" in name])
@pytest.mark.parametrize("turned", [False, True])
def test_ct_finds_its_mr_and_mr_its_ct(turned, name):
    """CT as it might look of the bundled head, T2 of the scanner; slice by slice little moves through the plane."""
    fixed, moving, points, there = ct_like(), *bundled_pair()[1:]
    if turned:
        fixed, moving, points, there = moving, fixed, there, points
    start = first_alignment(fixed, moving, "moments", body_points(fixed, None), body_points(moving, None))
    result = register(fixed, moving, model=name, start=start)
    started, done = (float((t.points(points) - there).norm(dim=1).mean()) for t in (start, result.transform))
    assert done < 0.9 * started, f"{started:.2f} mm after the start, {done:.2f} now"
    assert result.report["folds_percent"] < 0.1
