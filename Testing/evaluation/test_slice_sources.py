"""Slices of other heads: either modality fixed, several people, nothing labelled."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import Grid, Image, resample
from DeepMultiModalRegLib.evaluation.cases import load_case, read_cases
from DeepMultiModalRegLib.evaluation.command import SLICES_OF, main
from DeepMultiModalRegLib.evaluation.slice_pairs import SOURCES, SliceSource, slice_pairs
from DeepMultiModalRegLib.evaluation.translation import mean_squared_error
from DeepMultiModalRegLib.io import write_image

GRID = Grid((60, 64, 6), (2.0, 2.0, 6.5), (-60.0, -64.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
SOURCE = SliceSource(("one", "two"), "a.nii.gz", "b.nii.gz", "a.nii.gz", {}, "lumps")


def head(shift: float) -> Image:
    """An egg with a bright yolk."""
    x = GRID.points() - torch.tensor([shift, 0.0, 16.0])
    shell, yolk = ((x / torch.tensor(axes)).norm(dim=-1) < 1 for axes in ((38.0, 48.0, 60.0), (14.0, 20.0, 60.0)))
    return Image((0.4 * shell + 0.5 * yolk)[None], GRID)


@pytest.fixture
def data(tmp_path):
    for folder, shift in (("one", 0.0), ("two", 8.0)):
        lump = head(shift)
        (tmp_path / "test" / folder).mkdir(parents=True)
        write_image(lump, tmp_path / "test" / folder / "a.nii.gz")
        write_image(
            lump.with_tensor(torch.where(lump.tensor > 0.05, 1.2 - lump.tensor, 0.0)),
            tmp_path / "test" / folder / "b.nii.gz",
        )
    return tmp_path


def test_the_command_knows_every_source():
    assert tuple(SOURCES) == SLICES_OF


def test_people_share_the_pairs_and_without_labels_the_head_says_which_slices_count(data):
    pairs = slice_pairs(data, 5, source=SOURCE)
    assert len(pairs) == 5 and len({p.name for p in pairs}) == 5
    assert not any(p.labels for p in pairs) and all(p.mask.any() for p in pairs)
    assert pairs[0].fixed.grid.origin != pairs[-1].fixed.grid.origin  # about each one's own head


def test_what_is_fixed_can_be_exchanged_and_stays_where_it_is(data):
    pairs, turned = slice_pairs(data, 2, source=SOURCE), slice_pairs(data, 2, source=SOURCE.exchanged())
    for a, b in zip(pairs, turned, strict=True):
        x = torch.rand(7, 2, dtype=torch.float64) * 40
        assert torch.equal(a.truth.points(x), b.truth.points(x))
        assert not torch.allclose(a.fixed.tensor, b.fixed.tensor, atol=0.1)
        for pair in (a, b):  # what a perfect translation of the moving one would be, brought back, is the fixed one
            carried = resample(pair.moving_as_fixed, pair.fixed.grid, pair.truth).tensor
            still = mean_squared_error(pair.moving_as_fixed.tensor, pair.fixed.tensor)
            assert mean_squared_error(carried, pair.fixed.tensor) < 0.3 * still


def test_the_table_of_ct_slices_says_what_it_is_of(data_dir, tmp_path, capsys):
    options = ["--models", "none", "--slices", "3", "--slices-of", "ct-mr21", "--exchanged"]
    assert main(["evaluate", "--experiment", "slices", "--data", str(data_dir), "--out", str(tmp_path), *options]) == 0
    text = (tmp_path / "table.md").read_text()
    assert "fixed CT, moving MR" in text and "| truth |" in text and "VoxelMorph" not in text


def test_the_stack_is_under_a_known_warp_and_measured_in_the_head(data_dir):
    described = read_cases("ctmr")
    assert {tuple(case["modalities"]) for case in described} == {("MR", "CT"), ("CT", "MR")}
    case = load_case(described[0], data_dir)
    moved = (case.truth.points(case.fixed.grid.points()[case.mask]) - case.fixed.grid.points()[case.mask]).norm(dim=1)
    assert 2 < moved.mean() < 20 and 0.1 < case.mask.float().mean() < 0.7
