"""The equivariant method's composition and its frames."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.equivariant import fitted
from DeepMultiModalRegLib.networks.warp import warp

SETTINGS = {"shape": [33, 29], "widths": [4, 4, 6]}


def tiny(scale: float = 0.05):
    """An untrained regressor whose answers are far enough from the identity to tell orders of composition apart."""
    torch.manual_seed(0)
    method = build("equivariant", 2, SETTINGS).eval()
    torch.nn.init.normal_(method.regressor.head.weight, 0, scale)
    return method


def blobs(seed: int, shape: tuple[int, ...] = (33, 29)) -> torch.Tensor:
    drawn = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(drawn, size=shape, mode="bicubic", align_corners=True)


def test_the_pair_goes_through_the_template():
    """A point that the template shows at y lies at R(fixed) y in the one image and at R(moving) y in the other."""
    method = tiny()
    fixed, moving = blobs(1), blobs(2)
    with torch.no_grad():
        r_fixed, r_moving = method.pose(fixed)[0], method.pose(moving)[0]
        displacement = method(fixed, moving).displacement[0]
    centre = torch.tensor([14.0, 16.0])
    for j, i in ((3, 4), (20, 11), (32, 28)):
        x = torch.tensor([float(i), float(j)])
        y = torch.linalg.solve(r_fixed, torch.cat([x - centre, torch.ones(1)]))
        expected = (r_moving @ y)[:2] + centre
        assert torch.allclose(x + displacement[:, j, i], expected, atol=1e-3)
    assert (r_fixed - r_moving).abs().max() > 0.1  # or the order could not be seen


def test_a_pair_of_twins_does_not_move():
    image = blobs(3)
    with torch.no_grad():
        assert tiny()(image, image).displacement.abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(33, 29), (40, 25), (34, 30), (20, 50)])
def test_the_pose_is_that_of_the_part_that_is_seen(shape):
    """The same picture in a larger or smaller frame: the pose shifts by what the middle of the lattice shifted."""
    method = tiny()
    image = blobs(4, shape)
    inside, offset = fitted(image, method.shape)
    assert inside.shape == (1, 1, 33, 29)
    with torch.no_grad():
        seen, whole = method.pose(inside)[0], method.pose(image)[0]
    assert torch.allclose(whole[:2, :2], seen[:2, :2]) and torch.allclose(whole[:2, 2] - seen[:2, 2], offset)
    # the middle of the seen part, one pixel in the picture, is where the offset says
    spot = torch.zeros(1, 1, *shape)
    spot[0, 0, shape[0] // 2, shape[1] // 2] = 1
    where = fitted(spot, method.shape)[0][0, 0].nonzero()[0].flip(0) - torch.tensor([14.0, 16.0])
    own = torch.tensor([shape[1] // 2 - (shape[1] - 1) / 2, shape[0] // 2 - (shape[0] - 1) / 2])
    assert torch.allclose(where + offset, own)


def test_half_precision_is_for_the_network_alone():
    """Under autocast the composition stays exact: a pair of twins does not move by a tenth of a pixel."""
    method, image = tiny(), blobs(3)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = method(image, image).displacement
    assert out.dtype == torch.float32 and out.abs().max() < 1e-3


def test_a_perfect_pose_brings_moving_onto_fixed():
    method = tiny()
    template = blobs(5)
    turn = torch.tensor([[0.8, -0.6, 2.0], [0.6, 0.8, -1.0], [0.0, 0.0, 1.0]])
    poses = iter([torch.eye(3)[None], turn[None]])  # the fixed image first: see pair()
    method.pose = lambda image: next(poses)
    displacement = method(template, template).displacement
    # moving is the template seen at turn^-1: reading it where T says gives the fixed image back
    back = torch.linalg.inv(turn)
    grid = torch.stack(torch.meshgrid(torch.arange(33.0), torch.arange(29.0), indexing="ij")[::-1], -1)
    centre = torch.tensor([14.0, 16.0])
    moved = (grid - centre) @ back[:2, :2].T + back[:2, 2] + centre - grid
    moving = warp(template, moved.movedim(-1, 0)[None])
    inner = (slice(None), slice(None), slice(10, 23), slice(9, 20))
    apart = (warp(moving, displacement) - template)[inner].abs().mean()
    assert apart < 0.1 * (moving - template)[inner].abs().mean()


def test_volumes_or_unknown_settings_are_a_sentence():
    with pytest.raises(InputError, match="do not fit"):
        build("equivariant", 2, {"colour": 1})
