"""The disentangled paper's table: which slices count, what is printed, rows that are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from DeepMultiModalRegLib.core import Affine, Grid, Image
from DeepMultiModalRegLib.evaluation import disentangled_table
from DeepMultiModalRegLib.evaluation.command import main
from DeepMultiModalRegLib.evaluation.content_agreement import content_agreement, told_places
from DeepMultiModalRegLib.evaluation.slice_pairs import SlicePair
from DeepMultiModalRegLib.evaluation.structures import overlap, pairs_that_show, shown
from DeepMultiModalRegLib.methods.disentangled import CONTENT

GRID = Grid.regular((32, 32), 2.0, torch.zeros(2).double())


def pair(left: int = 5, right: int = 5, shift: int = 0, name: str = "one") -> SlicePair:
    """Caudates of left x 5 and right x 5 pixels, thalami of 6 x 6; the moving ones `shift` pixels along I."""
    labels = torch.zeros(1, 32, 32)
    labels[0, 4:9, 4 : 4 + left], labels[0, 4:9, 20 : 20 + right] = 11, 50
    labels[0, 16:22, 4:10], labels[0, 16:22, 20:26] = 10, 49
    fixed, moving = Image(labels, GRID), Image(labels.roll(shift, -1), GRID)
    grey = fixed.with_tensor(labels / 50)
    return SlicePair(name, grey, grey, grey, {"classes": (fixed, moving, [])}, labels[0] > 0, Affine.identity(2))


def test_structures_that_one_image_hardly_shows_do_not_count():
    assert set(shown(pair())) == {"caudate L", "caudate R", "thalamus L", "thalamus R"}
    assert set(shown(pair(left=2))) == {"caudate R", "thalamus L", "thalamus R"}


def test_dice_of_a_structure_moved_by_a_third_of_its_width():
    moved = pair(shift=2)
    each = overlap(moved, moved.labels["classes"][1].tensor)
    assert each["thalamus L"] == pytest.approx(4 / 6) and each["caudate R"] == pytest.approx(3 / 5)


def test_pairs_are_taken_evenly_from_those_that_show_enough():
    asked = []

    def draw(count):
        asked.append(count)
        return [pair(left=5 if n % 2 else 1, name=str(n)) for n in range(count)]

    found = pairs_that_show(draw, 4)
    assert asked == [24] and [p.name for p in found] == ["3", "9", "15", "21"]


def test_the_command_prints_tables_tests_and_the_paper_s_figures_and_keeps_its_rows(tmp_path, monkeypatch):
    made = []

    def slices(data, count, seed, deformation, source):
        made.append(count)
        return [pair(name=f"{source.fixed}-{n}", shift=n % 2) for n in range(6)]

    monkeypatch.setattr(disentangled_table, "slice_pairs", slices)
    def people(data, count, seed, source):
        return [replace(p, truth=None) for p in slices(data, count, seed, 0.0, source)]

    monkeypatch.setattr(disentangled_table, "people_pairs", people)
    calls = []

    def peer(pairs, name, seed, threads):
        calls.append(name)
        return [disentangled_table.Found(Affine.identity(2), 0.1) for _ in pairs]

    monkeypatch.setattr(disentangled_table, "peer_found", peer)
    monkeypatch.setattr(disentangled_table, "by_moments", lambda p: disentangled_table.Found(Affine.identity(2), 0.0))
    command = ["evaluate", "--experiment", "disentangled-table", "--models", "none", "--slices", "2"]
    command += ["--data", str(tmp_path), "--out", str(tmp_path), "--resume"]
    assert main(command) == 0 and len(calls) == 12
    text = (tmp_path / "table.md").read_text()
    assert "| theirs | 0.867 | 0.07 |" in text and "newborns, two people, T1 onto T2" in text
    row = next(line for line in text.splitlines() if line.startswith("| elastix-bspline |"))
    assert 0.5 < float(row.split("|")[3]) < 1
    assert main(command) == 0 and len(calls) == 12


def test_contents_agree_where_images_do_and_less_the_further_they_are_apart():
    class Grey:
        def eval(self):
            return self

        def contents(self, fixed, moving):
            return tuple(torch.cat([x, x.roll(3, -1) - 0.2, 0.3 - x], 1) for x in (fixed, moving))

    noise = torch.nn.functional.avg_pool2d(torch.rand(4, 1, 36, 36, generator=torch.Generator().manual_seed(0)), 5, 1)
    pairs = []
    for n in range(4):
        grey = Image(noise[n], GRID)
        pairs.append(replace(pair(name=str(n)), fixed=grey, moving=grey, mask=torch.ones(32, 32, dtype=torch.bool)))
    rows = {row["images"]: row for row in content_agreement(Grey(), pairs)}
    assert rows["aligned"]["cosine"] == pytest.approx(1) and rows["aligned"]["l1"] == pytest.approx(0)
    moved = [rows[words]["l1"] for words in rows if words.startswith("moved")]
    assert len(moved) == 4 and 0 < moved[0] < moved[1] < moved[2]
    assert rows["another slice"]["cosine"] < rows["as given"]["cosine"] == pytest.approx(1)


def test_features_that_are_the_same_in_both_images_tell_every_place_and_flat_ones_none():
    class Mixed:
        def eval(self):
            return self

        def contents(self, fixed, moving):
            return fixed, moving

        def features(self, fixed, moving):
            return torch.zeros_like(fixed), torch.zeros_like(moving)

    grey = Image(torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0)), GRID)
    flat = replace(pair(), fixed=grey, moving=grey, mask=torch.ones(32, 32, dtype=torch.bool))
    rows = {row["features"]: row for row in told_places(Mixed(), [flat, flat])}
    assert rows["contents"]["right"] == 100 and rows["contents"]["off_mm"] == 0
    assert rows["MIND"]["right"] > 50, "of noise, MIND knows most places"
    moved = Image(grey.tensor.roll(2, -1), GRID)  # what lies at x + 2 is told two pixels to the right
    rows = {row["features"]: row for row in told_places(Mixed(), [replace(flat, moving=moved)])}
    assert rows["contents"]["right"] < 5 and rows["contents"]["off_mm"] == pytest.approx(2 * 1.75, abs=0.4)


def test_contents_alone_are_what_is_compared_when_asked_for():
    class Described(torch.nn.Module):
        def contents(self, fixed, moving):
            return fixed, moving

        def features(self, fixed, moving):
            return torch.cat([fixed, fixed], 1), torch.cat([moving, moving], 1)

    method, x = Described(), torch.ones(1, 1, 4, 4)
    alone = disentangled_table._of_contents(method)
    assert alone.features(x, 2 * x)[1].unique().tolist() == pytest.approx([2 * CONTENT])
    assert method.features(x, x)[0].shape[1] == 2, "the model itself stays as it is"
