"""Masks: on any lattice, one or both; what lies outside is background to the network; wrong ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import Constant, model_of, phantom
from lattices import make_grid, rotation

from DeepMultiModalRegLib.core import Affine, Grid, Image, InputError
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.masks import Mask

GRID = make_grid((36, 32, 28), (2, 2, 2), (-36, -32, -28), np.eye(3))
IMAGE = phantom(GRID)


def ball(grid: Grid, centre, radius: float, dtype=torch.uint8) -> Image:
    inside = (grid.points(torch.float64) - torch.tensor(centre, dtype=torch.float64)).norm(dim=-1) < radius
    return Image(inside[None].to(dtype), grid)


def seen_with(fixed_mask=None, moving_mask=None, start="none") -> tuple[torch.Tensor, torch.Tensor, dict]:
    method = Constant(0.0, 0.0, 0.0)
    result = register(IMAGE, IMAGE, model_of(method), start=start, fixed_mask=fixed_mask, moving_mask=moving_mask)
    fixed, moving = method.seen[-1]
    return fixed[0, 0], moving[0, 0], result.report


CENTRE = (GRID.centre + torch.tensor([4.0, 2.0, 0.0], dtype=torch.float64)).tolist()
OTHER = make_grid((50, 50, 40), (1.1, 1.3, 1.7), (0, 0, 0), rotation(20, 10, -30))
OTHER = Grid(OTHER.size, OTHER.spacing, tuple((GRID.centre - OTHER.centre).tolist()), OTHER.direction)


@pytest.mark.parametrize("lattice", [GRID, OTHER], ids=["own", "oblique"])
def test_a_fixed_mask_on_any_lattice_leaves_only_its_inside_to_the_network(lattice):
    fixed, moving, report = seen_with(fixed_mask=ball(lattice, CENTRE, 9.0))
    whole, _, _ = seen_with()
    assert 0 < (fixed > 0.05).sum() < 0.5 * (whole > 0.05).sum()
    assert (moving > 0.05).sum() > (fixed > 0.05).sum()  # one mask leaves the other image whole
    assert report["parameters"]["fixed_mask"] and not report["parameters"]["moving_mask"]
    volume = float((fixed > 0.05).sum()) * 8.0
    assert volume == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.25)


def test_a_moving_mask_follows_the_start():
    shift = torch.tensor([10.0, -6.0, 4.0], dtype=torch.float64)
    moving_image = phantom(GRID, shift.tolist())
    method = Constant(0.0, 0.0, 0.0)
    mask = ball(OTHER, (torch.tensor(CENTRE) + shift).tolist(), 9.0)
    start = Affine.from_parts(torch.eye(3, dtype=torch.float64), shift)
    register(IMAGE, moving_image, model_of(method), start=start, moving_mask=mask)
    fixed, moving = (t[0, 0] for t in method.seen[-1])
    register(IMAGE, IMAGE, model_of(method), start="none", moving_mask=ball(OTHER, CENTRE, 9.0))
    expected = method.seen[-1][1][0, 0]
    both = (moving > 0.05) & (expected > 0.05)
    assert both.sum() > 0.8 * (expected > 0.05).sum() > 100
    assert (fixed > 0.05).sum() > (moving > 0.05).sum()


def test_both_masks_and_labels_above_one_and_several_channels_count():
    labels = ball(GRID, CENTRE, 9.0, torch.int16)
    labels = Image(torch.cat([torch.zeros_like(labels.tensor), labels.tensor * 17]), GRID)
    fixed, moving, report = seen_with(fixed_mask=labels, moving_mask=labels)
    assert torch.equal(fixed > 0.05, moving > 0.05) and (fixed > 0.05).any()
    assert report["parameters"]["fixed_mask"] and report["parameters"]["moving_mask"]


def test_moments_use_what_the_masks_leave():
    lump = IMAGE.tensor + phantom(GRID, (-20.0, 0.0, 0.0)).tensor * 0  # the same image
    two = Image(torch.maximum(lump, phantom(GRID, (0.0, 0.0, 18.0), height=900.0).tensor), GRID)
    without = register(IMAGE, two, model_of(Constant(0.0, 0.0, 0.0))).report["parameters"]["start"]["matrix"]
    mask = Image((IMAGE.tensor > 100).to(torch.uint8), GRID)
    masked = register(IMAGE, two, model_of(Constant(0.0, 0.0, 0.0)), moving_mask=mask).report["parameters"]["start"][
        "matrix"
    ]
    assert abs(without[2][3]) > 3 and abs(masked[2][3]) < 1.5


@pytest.mark.parametrize("role", ["fixed", "moving"])
@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (Image(torch.zeros((1, *GRID.shape), dtype=torch.uint8), GRID), "is empty; mark some voxels"),
        (Image(torch.full((1, *GRID.shape), float("nan")), GRID), "is empty"),
        (ball(make_grid((20, 20, 20), (1, 1, 1), (900, 0, 0), np.eye(3)), (909, 9, 9), 5.0), "does not overlap"),
        (Image(torch.ones(1, 9, 9), make_grid((9, 9), (1, 1), (0, 0), np.eye(2))), "is 2D but"),
        (torch.ones(3, 3, 3), "must be an Image"),
    ],
    ids=["empty", "nan", "elsewhere", "2d", "array"],
)
def test_a_wrong_mask_is_refused(role, mask, sentence):
    with pytest.raises(InputError, match=f"The {role} mask.*{sentence}"):
        register(IMAGE, IMAGE, model_of(Constant(0.0, 0.0, 0.0)), **{f"{role}_mask": mask})


def test_a_mask_of_one_voxel_is_a_mask():
    tensor = torch.zeros((1, *GRID.shape), dtype=torch.uint8)
    tensor[0, 14, 16, 18] = 1
    mask = Mask(Image(tensor, GRID), IMAGE, "fixed")
    assert mask.points().shape == (1, 3) and int(mask.on(GRID).sum()) == 1
    result = register(IMAGE, IMAGE, model_of(Constant(0.0, 0.0, 0.0)), start="none", fixed_mask=Image(tensor, GRID))
    assert result.warped.grid == GRID
