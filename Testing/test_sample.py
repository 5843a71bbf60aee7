"""The bundled pair is what its README says."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import ROOT

from DeepMultiModalRegLib.core import jacobian_determinant, resample
from DeepMultiModalRegLib.engine.similarity import Similarity
from DeepMultiModalRegLib.io import read_image, read_transform

SAMPLE = ROOT / "Resources" / "SampleData"


@pytest.fixture(scope="module")
def pair():
    return read_image(SAMPLE / "fixed_t1.nii.gz")[0], read_image(SAMPLE / "moving_t2.nii.gz")[0]


@pytest.fixture(scope="module")
def head() -> torch.Tensor:
    return read_image(SAMPLE / "fixed_head_mask.nii.gz")[0].tensor[0] > 0


def test_the_truth_brings_both_images_together(pair) -> None:
    fixed, moving = pair
    similarity = Similarity(fixed, moving, 0.0)
    truth = read_transform(SAMPLE / "truth.h5")
    assert similarity(truth) > similarity(None) + 0.02  # NMI: 1 for independent images
    # and it is a peak: a shift of 3 mm beside it is worse in every direction
    for axis in range(3):
        for step in (-3.0, 3.0):
            beside = read_transform(SAMPLE / "truth.h5")
            beside.affine.matrix[axis, 3] += step
            assert similarity(beside) < similarity(truth)


def test_the_truth_moves_as_far_as_the_readme_says_and_does_not_fold(pair, head) -> None:
    truth, fixed = read_transform(SAMPLE / "truth.h5"), pair[0].grid
    moved = truth.displacement(fixed).norm(dim=0)[head]
    warp = truth.dense.displacement(fixed).norm(dim=0)[head]
    assert moved.mean().item() == pytest.approx(12.4, abs=0.05) and moved.max().item() == pytest.approx(18.3, abs=0.05)
    assert warp.mean().item() == pytest.approx(3.4, abs=0.05) and warp.max().item() == pytest.approx(8.0, abs=0.05)
    determinant = jacobian_determinant(truth.dense, fixed)[head]
    assert determinant.min() > 0.65 and determinant.max() < 1.35


def test_the_head_mask_covers_the_head(pair, head) -> None:
    bright = pair[0].tensor[0] > 100
    assert (bright & head).sum() / bright.sum() > 0.95
    assert 0.5 < head.float().mean() < 0.8


def test_the_pair_is_small_and_names_source_and_licence() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 5e6
    text = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "CC BY" in text and "open_ms_data" in text and "Lesjak" in text


def test_the_script_makes_the_same_pair_again(data_dir, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DEEPMULTIMODALREG_DATA", str(data_dir))
    spec = importlib.util.spec_from_file_location("make_sample", SAMPLE / "make_sample.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main(tmp_path) == 0
    for name in ("fixed_t1", "moving_t2", "fixed_head_mask"):
        mine, theirs = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for folder in (tmp_path, SAMPLE))
        difference = sitk.GetArrayFromImage(mine).astype(int) - sitk.GetArrayFromImage(theirs)
        # where the scan ends, a thousandth of a millimetre decides whether a voxel is still inside it
        assert (np.abs(difference) > 1).sum() <= 3 and mine.GetOrigin() == pytest.approx(theirs.GetOrigin(), abs=1e-4)
    again, shipped = (read_transform(folder / "truth.h5") for folder in (tmp_path, SAMPLE))
    assert (again.dense.field.tensor - shipped.dense.field.tensor).abs().max() < 2e-3


def test_the_moving_image_read_through_the_truth_is_the_scan(data_dir, pair, head) -> None:
    """The T2 scan itself, unmoved, on the T1 lattice, against the bundled one brought back by the truth."""
    scan = read_image(data_dir / "test" / "ms12" / "t2.nii.gz")[0]
    fixed, moving = pair
    original = resample(scan, fixed.grid).tensor[0][head]
    back = resample(moving, fixed.grid, read_transform(SAMPLE / "truth.h5")).tensor[0][head]
    assert np.corrcoef(original, back)[0, 1] > 0.97
