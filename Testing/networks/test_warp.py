"""Warping and integration of voxel displacements."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from DeepMultiModalRegLib.networks.warp import enlarge, follow, identity, integrate, inverted, warp


def smooth_field(shape: tuple[int, ...], size: float, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(1, len(shape), *[4] * len(shape), generator=torch.Generator().manual_seed(seed)) * size
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return F.interpolate(drawn, size=shape, mode=mode, align_corners=True)


@pytest.mark.parametrize("shape", [(12, 17), (9, 12, 15)])
def test_a_zero_displacement_changes_nothing(shape):
    """The public NeMAR code fails here: it makes its identity lattice with one align_corners and samples with the
    other."""
    image = torch.rand(2, 1, *shape)
    assert torch.allclose(warp(image, torch.zeros(2, len(shape), *shape)), image, atol=1e-5)


@pytest.mark.parametrize(("component", "axis"), [(0, -1), (1, -2), (2, -3)])
def test_component_c_of_a_displacement_moves_along_index_axis_c(component, axis):
    image = torch.rand(1, 1, 8, 9, 10)
    shift = torch.zeros(1, 3, 8, 9, 10)
    shift[:, component] = 2.0
    moved = warp(image, shift)
    expected = torch.roll(image, -2, axis)
    inside = [slice(None)] * 5
    inside[axis] = slice(0, -2)
    assert torch.allclose(moved[tuple(inside)], expected[tuple(inside)], atol=1e-4)


@pytest.mark.parametrize("shape", [(24, 28), (18, 20, 22)])
def test_integrating_a_velocity_and_its_negative_gives_inverse_maps(shape):
    velocity = smooth_field(shape, 1.0)
    there, back = integrate(velocity), integrate(-velocity)
    round_trip = follow(there, back)
    inner = (slice(None), slice(None), *[slice(5, -5)] * len(shape))
    # what is left is the interpolation of a field whose slope has kinks
    assert round_trip[inner].abs().mean() < 0.04 * there[inner].abs().mean()


def test_integration_of_a_constant_velocity_is_that_shift():
    velocity = torch.zeros(1, 2, 16, 16)
    velocity[:, 0] = 1.25
    assert torch.allclose(integrate(velocity), velocity, atol=1e-5)


def test_following_applies_the_inner_map_first():
    """phi = outer o inner: the warped image is M(x + u_in(x) + u_out(x + u_in(x)))."""
    shape = (20, 24)
    outer, inner = smooth_field(shape, 1.0, 1), smooth_field(shape, 1.0, 2)
    point = identity(shape, torch.device("cpu"))[0, 10, 12]
    u_in = inner[0, :, 10, 12]
    landing = point + u_in
    size = torch.tensor([24.0, 20.0])
    at = F.grid_sample(
        outer, ((landing * 2 + 1) / size - 1)[None, None, None], align_corners=False, padding_mode="border"
    )
    assert torch.allclose(follow(outer, inner)[0, :, 10, 12], u_in + at[0, :, 0, 0], atol=1e-4)
    assert not torch.allclose(follow(outer, inner), follow(inner, outer), atol=1e-2)


@pytest.mark.parametrize("shape", [(16, 24), (8, 16, 12)])
def test_an_enlarged_displacement_moves_by_the_same_distance(shape):
    """A linear displacement in physical units stays that linear function at twice the resolution, away from the
    border."""
    coarse = tuple(n // 2 for n in shape)
    d = len(shape)
    x = identity(coarse, torch.device("cpu")).movedim(-1, 1)  # in voxels of the coarse lattice
    y = identity(shape, torch.device("cpu")).movedim(-1, 1)
    large = enlarge(0.1 * x, shape)
    # voxel i of the fine lattice lies at (i + 0.5) / 2 - 0.5 of the coarse one; a displacement of one coarse voxel is
    # two fine
    expected = 0.1 * ((y + 0.5) / 2 - 0.5) * 2
    inner = (slice(None), slice(None), *[slice(1, -1)] * d)
    assert torch.allclose(large[inner], expected[inner], atol=1e-5)


def test_warping_stays_in_float32_under_autocast():
    image, shift = torch.rand(1, 1, 16, 500), torch.zeros(1, 2, 16, 500)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = warp(image, shift)
    assert moved.dtype == torch.float32
    assert torch.allclose(moved, image, atol=1e-4)


def test_a_smooth_field_is_inverted_in_a_few_rounds():
    wave = torch.sin(torch.arange(48.0) / 6)
    u = torch.stack([2 * wave[:, None] * wave, 1.5 * wave[None].expand(48, -1)])[None]
    assert follow(u, inverted(u))[..., 6:-6, 6:-6].abs().max() < 1e-3
