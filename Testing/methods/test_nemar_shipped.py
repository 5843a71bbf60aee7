"""The shipped NeMAR weights: a real adult rendered, geometry left alone, CT found in MR."""

from __future__ import annotations

import pytest
import torch
from bundled import SAMPLE, bundled_pair

from DeepMultiModalRegLib.core import Affine, Grid, Image, reorient, resample
from DeepMultiModalRegLib.engine import load, register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.intensity import normalise
from DeepMultiModalRegLib.engine.start import first_alignment
from DeepMultiModalRegLib.evaluation.dice import mean
from DeepMultiModalRegLib.evaluation.slice_pairs import SOURCES, slice_pairs
from DeepMultiModalRegLib.evaluation.slices import Found, network, row_of
from DeepMultiModalRegLib.io import read_transform
from DeepMultiModalRegLib.training.deformation import Ranges, random_displacement
from DeepMultiModalRegLib.training.preservation import commutation, edge_distance

PLANE = "nemar-t1t2-brain-2d"
SLICES = (24, 27, 30)  # from the level of the thalamus upwards


@pytest.fixture(scope="module")
def slices() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(T1, T2) of a real adult that nobody trained on, aligned, (1, 1, 128, 128) of 1.75 mm in [0, 1]."""
    t1, t2 = bundled_pair()[:2]
    t1 = reorient(t1)
    t2 = resample(t2, t1.grid, read_transform(SAMPLE / "truth.h5"))
    plane = Grid.regular(t1.grid.size[:2], t1.grid.spacing[:2])
    lattice = Grid.regular((128, 128), 1.75)
    return [
        tuple(normalise(resample(Image(image.tensor[:, k], plane), lattice).tensor)[None] for image in (t1, t2))
        for k in SLICES
    ]


@torch.no_grad()
def test_a_real_t1_is_rendered_liker_to_the_t2_and_its_edges_stay(slices):
    method = load(PLANE).method
    t1, t2 = (torch.cat(images) for images in zip(*slices, strict=True))
    inside = (t1 > 0.02) & (t2 > 0.02)
    rendered = method(t2, t1, translate=True).translated
    assert rendered is not None and method(t1, t2, translate=True).translated is None, "T leads from T1 to T2 alone"
    assert (rendered - t2).abs()[inside].mean() < 0.9 * (t1 - t2).abs()[inside].mean()
    phi = random_displacement((128, 128), 1.75, Ranges(elastic=0.14), torch.Generator().manual_seed(5))
    assert 1 < phi.abs().max()
    assert commutation(method.translator, t1, phi.expand(len(t1), -1, -1, -1)) < 0.06
    for a, b, seen in zip(t1, rendered, inside, strict=True):
        assert edge_distance(a[0], b[0], seen[0]) * 1.75 < 2.0, "mm"


def test_ct_slices_of_a_patient_never_seen_come_to_less_than_half_of_where_they_were(data_dir):
    pairs = slice_pairs(data_dir, 8, seed=3, source=SOURCES["ct-mr21"])
    method = load("nemar-ctmr-brain-2d").method
    found = network(pairs, method, None, "moments", "cpu")
    still = [Found(Affine.identity(2), 0.0) for _ in pairs]
    rows = [[row_of("m", pair, one) for pair, one in zip(pairs, some, strict=True)] for some in (still, found)]
    before, after = (mean({n: row["error_mean_mm"] for n, row in enumerate(some)}) for some in rows)
    assert after < 0.5 * before, f"{before:.2f} mm, then {after:.2f}"
    assert max(row["folds"] for row in rows[1]) < 0.5


def test_the_affine_model_gives_an_affine_transform_that_beats_its_start():
    fixed, moving, points, truth = bundled_pair()
    moments = first_alignment(fixed, moving, "moments", body_points(fixed, None), body_points(moving, None))
    found = register(fixed, moving, model="nemar-affine-t1t2-brain-3d", start=moments).transform
    assert isinstance(found, Affine)
    before, after = (float((t.points(points) - truth).norm(dim=1).mean()) for t in (moments, found))
    assert after < 0.5 * before, f"{before:.2f} mm, then {after:.2f}"
