"""The shipped network that finds poses, on the bundled real pair put under large poses: found, never mirrored."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from bundled import bundled_pair

from DeepMultiModalRegLib.core import Affine, Image
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.device import Precision
from DeepMultiModalRegLib.engine.foreground import background
from DeepMultiModalRegLib.engine.locate import locate
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.engine.network_start import BELIEVED_MM, SURE_MM, network_start, starting_model
from DeepMultiModalRegLib.evaluation.pose_draw import PoseRanges, drawn_pose, posed_by_header

SAMPLE = Path(__file__).resolve().parent.parent / "Resources" / "SampleData"
RANGES = PoseRanges(180, 60, 0.2)
CPU = Precision.best(torch.device("cpu"))


@pytest.fixture(scope="module")
def sample():
    """Fixed, moving, points (N, 3) of the fixed head and where they lie in the moving image, LPS mm."""
    return bundled_pair(every=97)


def drawn(sample, number: int) -> Affine:
    return drawn_pose(RANGES, sample[3].mean(0), 0, number).truth


def started(fixed: Image, moving: Image):
    pair = Pair(fixed, moving, None, None, background(fixed), background(moving))
    return network_start(pair, (body_points(fixed), body_points(moving)), starting_model(3), CPU)


def place(image: Image):
    return locate(starting_model(3).method, image, None, background(image), body_points(image), CPU, SURE_MM)


@pytest.mark.parametrize("number", range(8))
def test_any_pose_of_the_bundled_pair_is_found_by_looks_alone(sample, number):
    """No similarity is compared: two looks, one at each image."""
    fixed, moving, points, there = sample
    pose = drawn(sample, number)
    found = started(fixed, posed_by_header(moving, pose)).transform
    error = (found.points(points) - pose.points(there)).norm(dim=1).mean()
    assert error < 15.0, f"{error:.1f} mm"
    assert torch.linalg.det(found.linear) > 0


@pytest.mark.parametrize("number", range(2))
def test_a_rigid_registration_that_starts_there_ends_within_the_pair_s_own_warp(sample, number):
    fixed, moving, points, there = sample
    pose = drawn(sample, number)
    result = register(fixed, posed_by_header(moving, pose), "rigid", start="network")
    assert not result.report["warnings"] and result.report["parameters"]["start"]["network"]["believed"]
    assert (result.transform.points(points) - pose.points(there)).norm(dim=1).mean() < 5.0


def test_a_turned_image_lies_where_the_turn_brought_it(sample):
    """R(I o B) = B^-1 R(I), for poses that are no turn of a cube."""
    moving = sample[1]
    upright = place(moving)
    for number in range(4):
        pose = drawn(sample, number)
        found = place(posed_by_header(moving, pose))
        points = sample[3][::5]
        apart = found.to_template.points(pose.points(points)) - upright.to_template.points(points)
        assert apart.norm(dim=1).mean() < 8.0


def test_a_mirrored_head_gets_a_turn_not_a_mirror(sample):
    fixed, moving = sample[:2]
    mirrored = moving.with_tensor(moving.tensor.flip(-1))
    found = started(fixed, mirrored)
    for role, image in (("fixed", fixed), ("moving", mirrored)):
        assert torch.linalg.det(place(image).to_template.linear) > 0, role
    assert found.transform is None or torch.linalg.det(found.transform.linear) > 0


def test_noise_is_not_taken_for_a_head(sample):
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(sample[0].tensor.shape, generator=generator)
    assert place(sample[0].with_tensor(noise)).doubt > BELIEVED_MM > place(sample[0]).doubt


def test_the_network_looks_faster_than_a_search_by_similarity(sample):
    fixed, moving = sample[:2]
    started(fixed, moving)  # the first call loads the weights
    begun = time.process_time()
    started(fixed, moving)
    looked = time.process_time() - begun
    begun = time.process_time()
    register(fixed, moving, "rigid", start="moments")
    assert looked < 0.5 * (time.process_time() - begun)
