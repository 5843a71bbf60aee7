"""Poses: what their numbers stand for, and turns spread over all there are."""

from __future__ import annotations

import math

import pytest
import torch
from lattices import rotation

from DeepMultiModalRegLib.core import Affine
from DeepMultiModalRegLib.engine.pose import PoseFrame

CENTRE = torch.tensor([10.0, -20.0, 30.0], dtype=torch.float64)
BASE = Affine.from_parts(torch.from_numpy(rotation(10, 20, -30)) * 1.1, torch.tensor([5.0, 6.0, 7.0]))
FRAME = PoseFrame(BASE, CENTRE, 50.0)
FLAT = PoseFrame(Affine.identity(2), CENTRE[:2], 50.0)


def test_the_pose_zero_is_the_base_and_a_number_of_one_moves_the_rim_by_a_millimetre():
    zero = torch.zeros(FRAME.numbers)
    assert torch.allclose(FRAME.affine(zero).matrix, BASE.matrix, atol=1e-6)
    rim = 50 * torch.cat([torch.eye(3), -torch.eye(3)]).double()
    moving_rim = FRAME.moving_centre + rim
    before = BASE.inverse().points(moving_rim)  # the points that the base leads to the rim
    for number in range(FRAME.numbers):
        pose = zero.clone()
        pose[number] = 1.0
        moved = (FRAME.affine(pose).points(before) - moving_rim).norm(dim=-1)
        assert 0.45 < float(moved.max()) < 1.02  # a shear is shared by two axes, half a millimetre each


def test_a_rigid_freedom_changes_no_length_and_a_similar_one_all_alike():
    generator = torch.Generator().manual_seed(1)
    for kind, alike in (("rigid", True), ("similar", True), ("affine", False)):
        free = FRAME.free(kind)
        pose = (10 * torch.randn(len(free), generator=generator)) @ free
        scales = torch.linalg.svdvals(FRAME.affine(pose).linear @ BASE.linear.inverse())
        assert (float(scales.max() - scales.min()) < 1e-5) == alike
        assert (abs(float(scales.mean()) - 1) < 1e-5) == (kind == "rigid")


def test_angles_between_poses_are_those_of_their_turns():
    poses = torch.zeros(4, FRAME.numbers)
    for row, degrees in enumerate((0.0, 30.0, 120.0, -170.0)):
        poses[row, 1] = math.radians(degrees) * FRAME.radius
    expected = torch.tensor([0.0, 30.0, 120.0, 170.0])
    assert torch.allclose(FRAME.angles(poses[:1], poses)[0], expected, atol=0.05)
    assert float(FRAME.angles(poses)[2, 3]) == pytest.approx(70, abs=0.05)  # the short way round
    flat = torch.zeros(2, FLAT.numbers)
    flat[:, 0] = torch.tensor([math.radians(160), math.radians(-150)]) * FLAT.radius
    assert float(FLAT.angles(flat)[0, 1]) == pytest.approx(50, abs=0.05)


def test_no_turn_is_far_from_all_of_those_looked_at():
    poses = FRAME.every_turn(1000)
    assert poses.shape == (1001, FRAME.numbers) and not poses[0].any() and not poses[:, 3:].any()
    turns = FRAME.matrices(poses)[0] @ BASE.linear.inverse().float()
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3).expand_as(turns), atol=1e-5)
    drawn = torch.linalg.qr(torch.randn(400, 3, 3, generator=torch.Generator().manual_seed(0)))[0]
    drawn = drawn * torch.linalg.det(drawn)[:, None, None]
    cosine = (drawn.flatten(1) @ turns.flatten(1).T - 1) / 2
    assert float(cosine.clamp(-1, 1).arccos().rad2deg().min(1).values.max()) < 22
    flat = FLAT.every_turn(1000)
    angles = (flat[:, 0] / FLAT.radius).rad2deg().remainder(360).sort().values
    assert len(flat) == 36 and torch.allclose(angles, torch.arange(0, 360, 10.0), atol=1e-3)


def test_a_pose_that_keeps_lengths_is_the_likeliest():
    poses = torch.zeros(4, FRAME.numbers)
    poses[1, :6] = torch.tensor([40.0, -30, 20, 50, -60, 70])
    poses[2, [6, 9, 11]] = math.log(1.2) * FRAME.radius
    poses[3, [6, 9, 11]] = math.log(0.5) * FRAME.radius
    keeps, moves, grows, halves = FRAME.likely(poses).tolist()
    assert keeps == moves == 1 and grows == pytest.approx(1 - 3 * math.log(1.2) ** 2) and halves == 0


def test_a_stiff_frame_holds_against_stretches_and_shears_alike_and_not_against_turns():
    stiff = PoseFrame(BASE, CENTRE, 50.0, 10.0)
    poses = torch.zeros(3, FRAME.numbers)
    poses[0, :6] = torch.tensor([40.0, -30, 20, 50, -60, 70])
    poses[1, 6] = 0.1 * FRAME.radius
    poses[2, 7] = 0.1 * FRAME.radius * math.sqrt(2)  # shared by both axes: the same size as a matrix
    turned, longer, sheared = stiff.likely(poses).tolist()
    assert turned == 1 and longer == pytest.approx(1 - 0.01 - 0.1) and sheared == pytest.approx(1 - 0.1)
    assert FRAME.likely(poses)[2] == 1
    far = torch.zeros(2, FRAME.numbers)
    far[:, 6] = torch.tensor([0.5, 0.6]) * FRAME.radius
    assert stiff.likely(far)[1] < stiff.likely(far)[0] < 0  # it pulls back from any distance


def test_stretches_are_told_beside_the_base():
    base = Affine.from_parts(torch.diag(torch.tensor([1.2, 1.2, 1.2], dtype=torch.float64)), torch.zeros(3).double())
    frame = PoseFrame(base, torch.zeros(3, dtype=torch.float64), 60.0)
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.4, 0], [0.4, 0, 0], [0, 0, 0]], dtype=torch.float64))
    found = Affine.from_parts(turn @ torch.diag(torch.tensor([1.2, 0.6, 2.4], dtype=torch.float64)), base.translation)
    assert torch.allclose(frame.stretches(found).exp(), torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64))
    assert frame.stretches(base).abs().max() < 1e-12
