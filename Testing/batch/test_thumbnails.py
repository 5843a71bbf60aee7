"""Thumbnails show whether two images fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import phantom
from lattices import make_grid, rotation

from DeepMultiModalRegLib.batch.thumbnails import GAP, SIDE, SQUARES, checkerboards
from DeepMultiModalRegLib.core import Affine, resample

GRID = make_grid((40, 36, 30), (2, 2.1, 2.4), (30, -60, 12), rotation(8, -5, 20))
OTHER = make_grid((90, 92, 88), (1.6, 1.5, 1.7), (0, -70, 0), np.eye(3))


def edges(picture: np.ndarray) -> float:
    """Mean jump across the squares' borders, less the mean jump elsewhere: what the squares add."""
    panes = [picture[:, n * (SIDE + GAP) : n * (SIDE + GAP) + SIDE].astype(float) for n in range(3)]
    jump = np.mean([np.abs(np.diff(p, axis=1)).mean(0) for p in panes], 0)
    at = np.arange(1, SQUARES) * SIDE // SQUARES - 1
    return jump[at].mean() - np.delete(jump, at).mean()


def test_the_same_object_on_another_lattice_shows_no_squares_and_a_shifted_one_does():
    shift = Affine.identity(3).matrix.clone()
    shift[:3, 3] = 9.0
    same = checkerboards(phantom(GRID), resample(phantom(GRID), OTHER))
    apart = checkerboards(phantom(GRID), resample(phantom(GRID), OTHER, Affine(shift)))
    assert same.shape == (SIDE, 3 * SIDE + 2 * GAP) and same.dtype == np.uint8
    assert edges(same) < 3 and edges(apart) > 10


def test_intensities_of_any_range_are_shown():
    dark = phantom(GRID, height=1e-3)
    assert np.abs(checkerboards(dark, dark).astype(int) - checkerboards(phantom(GRID), phantom(GRID))).mean() < 3


@pytest.mark.parametrize("size, spacing", [((48, 44), (1.5, 1.4)), ((40, 36, 1), (2, 2, 5)), ((40, 36, 2), (2, 2, 5))])
def test_pictures_and_single_slices_are_shown(size, spacing):
    grid = make_grid(size, spacing, (0,) * len(size), np.eye(len(size)))
    picture = checkerboards(phantom(grid), phantom(grid))
    assert picture.shape[1] == (SIDE if len(size) == 2 else 3 * SIDE + 2 * GAP)
    assert picture[:, :SIDE].max() > 200 and picture[:, :SIDE].min() < 50


def test_integer_voxels_and_the_inputs_stay_as_they_are():
    image = phantom(GRID)
    whole = image.to(torch.int16)
    before = whole.tensor.clone()
    checkerboards(whole, whole)
    assert torch.equal(whole.tensor, before)
