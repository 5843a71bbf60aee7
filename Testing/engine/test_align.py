"""Rigid and affine registration: from far away, in millimetres, on any lattice, the same bits each time."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes import phantom
from lattices import make_grid, rotation

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Image, InputError, resample
from DeepMultiModalRegLib.engine import register

VOLUME = make_grid((40, 36, 34), (2, 2.2, 2.1), (-30, 20, 10), rotation(15, -14, 28))
PLANE = make_grid((64, 56), (1, 1.2), (-30, 20), rotation(20))


def pose(grid, degrees: float, shift_mm: float, scale: float) -> Affine:
    d = grid.dimension
    turn = rotation(degrees) if d == 2 else rotation(0.5 * degrees, -0.4 * degrees, degrees)
    linear = torch.from_numpy(turn) * scale
    shift = torch.tensor([shift_mm, -0.6 * shift_mm, 0.5 * shift_mm][:d], dtype=torch.float64)
    return Affine.from_parts(linear, grid.centre + shift - linear @ grid.centre)


def other_contrast(image: Image) -> Image:
    return image.with_tensor((image.tensor * (1400 - image.tensor)).clamp(min=0) / 490)


def error(found: Affine, truth: Affine, fixed: Image) -> float:
    x = fixed.grid.points(torch.float64)[fixed.tensor[0] > 200]
    return float((found.points(x) - truth.points(x)).norm(dim=-1).mean())


@pytest.mark.parametrize(("kind", "scale"), [("rigid", 1.0), ("affine", 1.08)])
@pytest.mark.parametrize("grid", [VOLUME, PLANE], ids=["oblique volume", "turned plane"])
def test_a_far_pose_is_found_across_modalities(grid, kind, scale):
    moving = phantom(grid)
    truth = pose(grid, 35, 8, scale)
    fixed = other_contrast(resample(moving, grid, truth))
    result = register(fixed, moving, kind)
    assert isinstance(result.transform, Affine)
    assert error(Affine.identity(grid.dimension), truth, fixed) > 6
    assert error(result.transform, truth, fixed) < max(grid.spacing)  # smooth balls without detail: within a voxel
    assert result.report["model"]["name"] == kind and result.report["folds_percent"] == 0


@pytest.mark.parametrize("degrees", [(100, 0, 0), (0, 170, 30), (60, -70, 120)])
def test_a_head_turned_by_any_angle_is_found(degrees):
    moving = phantom(VOLUME)
    linear = torch.from_numpy(rotation(*degrees))
    shift = torch.tensor([6.0, -9.0, 4.0], dtype=torch.float64)
    truth = Affine.from_parts(linear, VOLUME.centre + shift - linear @ VOLUME.centre)
    fixed = other_contrast(resample(moving, VOLUME, truth))
    assert error(register(fixed, moving, "rigid").transform, truth, fixed) < 1.5


def test_a_plane_turned_by_any_angle_is_found():
    moving = phantom(PLANE)
    truth = pose(PLANE, 160, 5, 1.0)
    fixed = other_contrast(resample(moving, PLANE, truth))
    assert error(register(fixed, moving, "rigid").transform, truth, fixed) < 1.2


def test_of_two_turns_that_look_alike_the_smaller_is_taken():
    """Two equal balls on a stick: half a turn about any axis across it changes nothing."""
    x = VOLUME.points(torch.float64) - VOLUME.centre
    balls = torch.zeros(VOLUME.shape, dtype=torch.float64)
    for end in (-1.0, 1.0):
        centre = end * torch.tensor([12.0, 5.0, -3.0], dtype=torch.float64)
        balls = torch.maximum(balls, torch.sigmoid(9 - (x - centre).norm(dim=-1)))
    moving = Image(1000 * balls[None].float(), VOLUME)
    fixed = other_contrast(resample(moving, VOLUME, pose(VOLUME, 20, 3, 1.0)))
    turned = register(fixed, moving, "rigid").transform.linear
    assert float(turned.trace()) > 1.5  # by less than 75 degrees: more than the 20 only about the stick


def test_a_rigid_transform_neither_stretches_nor_mirrors():
    moving = phantom(VOLUME)
    fixed = other_contrast(resample(moving, VOLUME, pose(VOLUME, 10, 4, 1.1)))
    linear = register(fixed, moving, "rigid").transform.linear
    assert torch.allclose(linear @ linear.T, torch.eye(3, dtype=torch.float64), atol=1e-6)
    assert float(torch.linalg.det(linear)) == pytest.approx(1, abs=1e-6)


def test_as_a_start_it_brings_the_pair_to_where_a_model_goes_on():
    moving = phantom(VOLUME)
    truth = pose(VOLUME, 30, 6, 1.0)
    fixed = other_contrast(resample(moving, VOLUME, truth))
    result = register(fixed, moving, "affine", start="rigid")
    assert result.report["parameters"]["start"]["kind"] == "rigid"
    start = Affine(torch.tensor(result.report["parameters"]["start"]["matrix"]))
    assert error(start, truth, fixed) < 2 and error(result.transform, truth, fixed) < 2


def test_the_start_search_finds_any_turn_and_leaves_the_rest_to_the_model():
    moving = phantom(VOLUME)
    truth = pose(VOLUME, 150, 9, 1.0)
    fixed = other_contrast(resample(moving, VOLUME, truth))
    result = register(fixed, moving, "rigid", start="search")
    start = Affine(torch.tensor(result.report["parameters"]["start"]["matrix"]))
    assert result.report["parameters"]["start"]["kind"] == "search"
    assert error(start, truth, fixed) < 4 and error(result.transform, truth, fixed) < 2
    moments = register(fixed, moving, "rigid", start="moments").report["parameters"]["start"]["matrix"]
    assert error(Affine(torch.tensor(moments)), truth, fixed) > 6


def test_a_given_start_or_none_is_not_left_for_a_far_pose():
    """A head turned by half a turn looks alike; who says where it lies means it."""
    moving = phantom(VOLUME)
    truth = pose(VOLUME, 4, 2, 1.0)
    fixed = other_contrast(resample(moving, VOLUME, truth))
    for start in ("none", Affine.identity(3)):
        assert error(register(fixed, moving, "rigid", start=start).transform, truth, fixed) < 1
    with pytest.raises(InputError, match="affine transform"):
        dense = DenseField(Image(torch.zeros(3, *VOLUME.shape), VOLUME))
        register(fixed, moving, "affine", start=Composite(dense, None))


def test_the_same_seed_gives_the_same_bits_and_the_caller_s_random_numbers_go_on():
    fixed, moving = other_contrast(phantom(PLANE)), phantom(PLANE, (3.0, -2.0))
    torch.manual_seed(4)
    expected = torch.randn(3)
    torch.manual_seed(4)
    first = register(fixed, moving, "affine", seed=5)
    assert torch.equal(torch.randn(3), expected)
    register(moving, fixed, "affine", seed=5)
    assert torch.equal(register(fixed, moving, "affine", seed=5).transform.matrix, first.transform.matrix)
    assert not torch.equal(register(fixed, moving, "affine", seed=6).transform.matrix, first.transform.matrix)


@pytest.mark.parametrize("role", ["fixed_mask", "moving_mask"])
def test_what_a_mask_leaves_out_does_not_pull(role):
    """A bright bar lies elsewhere in each image; the mask leaves it out."""
    moving = phantom(VOLUME)
    truth = pose(VOLUME, 6, 5, 1.0)
    fixed = other_contrast(resample(moving, VOLUME, truth))
    mask = torch.ones(1, *VOLUME.shape, dtype=torch.uint8)
    if role == "fixed_mask":
        fixed.tensor[..., :9] = 1500.0
        mask[..., :11] = 0
    else:
        moving.tensor[..., :9] = 1500.0
        mask[..., :11] = 0
    found = register(fixed, moving, "rigid", start="none", **{role: Image(mask, VOLUME)})
    x = VOLUME.points(torch.float64)[..., 12:, :][fixed.tensor[0][..., 12:] > 200]
    assert float((found.transform.points(x) - truth.points(x)).norm(dim=-1).mean()) < 1.5


def test_real_heads_of_two_modalities_are_brought_together_from_40_mm_and_40_degrees(data_dir):
    from DeepMultiModalRegLib.io import read_image

    fixed = read_image(data_dir / "test" / "albert" / "05" / "t2.nii.gz")[0]
    moving = read_image(data_dir / "test" / "albert" / "05" / "t1.nii.gz")[0]
    linear = torch.from_numpy(rotation(-25, 20, 30)) * 0.93
    shift = torch.tensor([30.0, -25.0, 20.0], dtype=torch.float64)
    away = Affine.from_parts(linear, fixed.grid.centre - linear @ fixed.grid.centre + shift)
    moved = resample(moving, moving.grid, away)
    found = register(fixed, moved, "affine").transform
    x = fixed.grid.points(torch.float64)[fixed.tensor[0] > 0]
    assert float((found.points(x) - away.inverse().points(x)).norm(dim=-1).mean()) < 1
    assert math.isfinite(float(torch.linalg.det(found.linear)))


@pytest.mark.parametrize(("fixed", "moving"), [("t1", "t2"), ("t2", "t1")])
def test_a_neck_seen_through_two_small_windows_is_neither_turned_round_nor_shrunk(data_dir, fixed, moving):
    """On a coarse level a turn that leaves little in common shares more information than the truth; less on a finer."""
    from DeepMultiModalRegLib.io import read_image

    images = [read_image(data_dir / "test" / "cord" / f"{name}.nii.gz")[0] for name in (fixed, moving)]
    found = register(*images, "rigid").transform
    x = images[0].grid.points(torch.float64).reshape(-1, 3)
    assert float((found.points(x) - x).norm(dim=-1).mean()) < 4  # one person, one scanner: hardly moved in between
    scales = torch.linalg.svdvals(register(*images, "affine").transform.linear)
    assert 0.8 < float(scales.min()) and float(scales.max()) < 1.25  # a shrunken copy fits a small window well


def test_nothing_heavy_is_imported_to_find_a_pose():
    """torch.optim and torch.unravel_index take a second to import what they need: more than finding the pose takes."""
    code = """
import sys
import torch
from fakes import phantom
from lattices import make_grid, rotation
from DeepMultiModalRegLib.engine import register
image = phantom(make_grid((20, 18, 16), (4, 4, 4), (0, 0, 0), rotation(0, 0, 0)))
before = set(sys.modules)
register(image, image, "affine", refine=2)
new = set(sys.modules) - before
print([name for name in ("torch._dynamo", "sympy") if name in new], len(new) < 50)
"""
    folder = Path(__file__).resolve().parents[1]
    places = os.pathsep.join([str(folder), str(folder.parent / "DeepMultiModalReg")])
    environment = {**os.environ, "PYTHONPATH": places}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
