"""Folders of slices: read as they are, paired within one slice, with the truth they were given."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import Grid, Image, InputError
from DeepMultiModalRegLib.io import write_image
from DeepMultiModalRegLib.networks.warp import warp
from DeepMultiModalRegLib.training.deformation import Placement, Ranges
from DeepMultiModalRegLib.training.pairs import PairSampler, Recipe
from DeepMultiModalRegLib.training.stacks import load_stacks

SOURCE = {"group": "ctmr", "slices": "ct-mr/*", "images": {"ct": "*_ct.png", "mr": "*_mr.png"}}
RECIPE = {"group": "ctmr", "images": "real", "same": True, "weight": 1, "shape": (48, 48)}
STILL = Ranges(0, 0, 0, 0, 0)


def picture(path, value: float, lean: float = 0.0) -> None:
    """A bright disc of one grey level that leans to the right and to the back."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((y - 34) ** 2 / 1.6 + (x - 30) ** 2).sqrt()
    grey = value * (disc < 16) * (1 + lean * (x - 30) / 30 + 0.5 * lean * (y - 34) / 30)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(Image(grey.clamp(0, 255).to(torch.uint8)[None], Grid.regular((64, 64), 1.0)), path)


@pytest.fixture
def folder(tmp_path):
    for case in ("case01", "case02"):
        for k, level in enumerate((70, 120, 185)):
            picture(tmp_path / "ct-mr" / case / f"00{k}_ct.png", level, 0.3)
            picture(tmp_path / "ct-mr" / case / f"00{k}_mr.png", 255 - level, -0.3)
    picture(tmp_path / "ct-mr" / "case01" / "009_ct.png", 100)  # nobody's partner
    return tmp_path


def sampler(folder, motion: Ranges = STILL, pose: Ranges = STILL, **recipe) -> PairSampler:
    return PairSampler(load_stacks(SOURCE, folder), [Recipe(**{**RECIPE, **recipe})], 1.5, pose, motion)


def test_a_patient_is_the_slices_that_show_every_modality_and_cases_can_be_held_out(folder):
    subjects = load_stacks(SOURCE, folder)
    assert [s.name for s in subjects] == ["ctmr/case01", "ctmr/case02"]
    assert set(subjects[0].images) == {"ct", "mr"} and subjects[0].images["ct"].shape == (1, 3, 64, 64)
    assert torch.allclose(subjects[0].centre, torch.tensor([30.0, 34.0, 0.0]).double(), atol=0.6)
    assert [s.name for s in load_stacks({**SOURCE, "only": ["case02"]}, folder)] == ["ctmr/case02"]
    assert [s.name for s in load_stacks({**SOURCE, "exclude": ["case02"]}, folder)] == ["ctmr/case01"]


def test_a_pair_shows_one_slice_and_nothing_of_its_neighbours(folder):
    """The three slices differ in grey level alone, so a mixture of two would show a level that none has."""
    subjects = {s.name: s for s in load_stacks(SOURCE, folder)}
    levels = {m: x.amax((0, 2, 3)) for m, x in subjects["ctmr/case01"].images.items()}
    seen = set()
    s = sampler(folder)
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        person = s.groups["ctmr"][0]
        frame, offset = s._frame(person, s.recipes[0], generator)
        k = int(offset[2])
        seen.add(k)
        assert torch.equal(frame, torch.eye(3)[:, :2])
        still = Placement.draw((48, 48), 1.5, STILL, generator, elastic=False)
        image, labels = s._picture(person, (48, 48), still, frame, offset, "ct", False, -1e9, generator)
        assert labels is None
        gamma = image.max().log() / levels["ct"][k].log() if levels["ct"][k] < 0.99 else torch.tensor(1.0)
        assert 0.4 < gamma < 2.2, "the grey level of another slice"
    assert seen == {0, 1, 2}


def test_both_images_of_a_pair_are_of_the_same_slice_and_of_two_modalities(folder):
    s = sampler(folder)
    for seed in range(6):
        pair = s.draw(torch.Generator().manual_seed(seed), s.recipes[0])
        assert set(pair.modalities) == {"ct", "mr"} and pair.kind == "ctmr-real-same"
        assert pair.fixed_labels is None and pair.truth.abs().max() < 1e-4
        assert ((pair.fixed > 0.05) == (pair.moving > 0.05)).float().mean() > 0.98


def test_the_truth_brings_the_moving_slice_onto_the_fixed_one(folder):
    s = sampler(folder, motion=Ranges(4, 12, 0.08, 0.04, 0.1), pose=Ranges(3, 8, 0.05, 0.02, 0.05))
    for seed in range(4):
        pair = s.draw(torch.Generator().manual_seed(seed), s.recipes[0])
        fixed, moving = ((x > 0.05).float() for x in (pair.fixed, pair.moving))
        before, after = ((fixed - m).abs().mean() for m in (moving, warp(moving, pair.truth)))
        assert pair.truth.abs().max() > 1 and after < 0.03 and after < 0.5 * before


def test_smoothing_for_a_coarser_lattice_mixes_no_slices(folder):
    subject = load_stacks(SOURCE, folder)[0]
    smooth = subject.smoothed(6.0)
    assert not torch.equal(smooth.images["ct"], subject.images["ct"])
    middle = smooth.images["ct"][0, :, 34, 30]
    assert torch.allclose(middle, subject.images["ct"][0, :, 34, 30], atol=0.03)


@pytest.mark.parametrize("wrong", [{"same": False}, {"images": "synthetic"}, {"shape": (32, 32, 32)}])
def test_more_than_slices_hold_is_refused(folder, wrong):
    with pytest.raises(InputError, match="single slices"):
        sampler(folder, **wrong)


def test_folders_without_slices_or_of_several_sizes_are_refused(folder):
    with pytest.raises(InputError, match="No training slices"):
        load_stacks({**SOURCE, "slices": "nothing/*"}, folder)
    with pytest.raises(InputError, match="shows all of"):
        load_stacks({**SOURCE, "images": {"ct": "*_ct.png", "pet": "*_pet.png"}}, folder)
    write_image(Image(torch.ones(1, 32, 64, dtype=torch.uint8), Grid.regular((64, 32), 1.0)),
                folder / "ct-mr" / "case01" / "001_ct.png")  # fmt: skip
    with pytest.raises(InputError, match="several sizes"):
        load_stacks(SOURCE, folder)


def test_the_real_cases_load_and_draw(data_dir):
    subjects = load_stacks(SOURCE, data_dir / "train")
    assert len(subjects) == 7 and sum(s.grid.size[2] for s in subjects) == 128
    s = PairSampler(subjects, [Recipe(**{**RECIPE, "shape": (128, 128)})], 1.75, Ranges(), Ranges())
    pair = s.draw(torch.Generator().manual_seed(0), s.recipes[0])
    assert pair.fixed.max() > 0.5 and pair.moving.max() > 0.5
