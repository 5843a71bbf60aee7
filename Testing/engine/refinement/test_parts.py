"""The parts of the refinement against plain counterparts: reading rows, flows, solving, the quadratic models."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.engine.refinement.features import mind_features
from DeepMultiModalRegLib.engine.refinement.flow import (
    control_shape,
    displacement,
    exponential,
    neighbours_minus,
    resized,
    spread,
)
from DeepMultiModalRegLib.engine.refinement.information import Information
from DeepMultiModalRegLib.engine.refinement.objective import SquaredDifference
from DeepMultiModalRegLib.engine.refinement.reading import read_rows
from DeepMultiModalRegLib.engine.refinement.solve import entries, solved
from DeepMultiModalRegLib.losses.mind import mind
from DeepMultiModalRegLib.networks.warp import integrate, warp

SHAPES = [(6, 7, 5), (8, 9)]


def smooth(shape: tuple[int, ...], channels: int, seed: int, count: int = 1, size: float = 1.0) -> torch.Tensor:
    """(count, channels, *shape): noise smoothed a few times."""
    x = torch.randn(count, channels, *shape, generator=torch.Generator().manual_seed(seed))
    pool = torch.nn.functional.avg_pool3d if len(shape) == 3 else torch.nn.functional.avg_pool2d
    for _ in range(4):
        x = pool(x, 3, 1, 1, count_include_pad=False)
    return x * (size / x.abs().max())


@pytest.mark.parametrize("shape", [*SHAPES, (6, 1, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_reading_rows_equals_sampling_the_channels(shape, dtype):
    table = torch.rand(2, *shape, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    u = 3 * torch.randn(2, len(shape), *shape, generator=torch.Generator().manual_seed(2))  # beyond the border too
    expected = warp(table.float().movedim(-1, 1), u).movedim(1, -1)
    assert torch.allclose(read_rows(table, u).float(), expected, atol=1e-5 if dtype == torch.float32 else 4e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_exponential_equals_many_small_steps_and_its_inverse_undoes_it(shape):
    velocity = smooth(shape, len(shape), 3, size=1.2)
    assert torch.allclose(exponential(velocity), integrate(velocity, 9), atol=0.06)
    there = exponential(velocity)
    back = there + warp(exponential(-velocity), there)
    inside = (slice(None), slice(None), *[slice(2, -2)] * len(shape))
    assert float(back[inside].abs().max()) < 0.1 < float(there[inside].abs().max())


def test_a_constant_velocity_moves_every_voxel_by_itself_whatever_the_stride():
    for stride in (1, 2, 3):
        velocity = torch.full((1, 3, *control_shape((7, 9, 8), stride)), 1.5)
        assert torch.allclose(displacement(velocity, (7, 9, 8), stride), torch.full((1, 3, 7, 9, 8), 1.5), atol=1e-5)


@pytest.mark.parametrize("shape", [(11, 14), (9, 11, 14)])
def test_a_velocity_on_a_finer_level_says_the_same_in_voxels_twice_as_many(shape):
    """Of lengths that the control cells do not divide: a cell that hangs over must not stretch the field."""
    d, finer = len(shape), tuple(2 * n for n in shape)
    line = 0.1 * (torch.arange(shape[-1] + 1) // 2 * 2 + 0.5)  # linear along I, at the centres of cells of two
    velocity = torch.zeros(1, d, *control_shape(shape, 2))
    velocity[:, 0] = line[::2][: velocity.shape[-1]]
    found = spread(resized(velocity, 2, control_shape(finer, 3), 3, 2.0), finer, 3)[0, 0]
    place = (torch.arange(finer[-1]) + 0.5) / 2 - 0.5  # in voxels of the coarse lattice
    inside = slice(5, -6)
    assert torch.allclose(found[..., inside], (2 * 0.1 * place[inside]).expand_as(found[..., inside]), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 2), (4, 3)])
def test_conjugate_gradients_reach_the_solution_of_the_dense_system(shape):
    d, cells = len(shape), torch.tensor(shape).prod().item()
    generator = torch.Generator().manual_seed(5)
    root = torch.randn(cells, d, d, generator=generator, dtype=torch.float64)
    blocks = root @ root.transpose(1, 2) + 0.1 * torch.eye(d)
    slope = torch.randn(d, cells, generator=generator, dtype=torch.float64)
    basis = torch.eye(cells, dtype=torch.float64).reshape(cells, 1, *shape)
    laplacian = neighbours_minus(basis).reshape(cells, cells)
    dense = torch.zeros(d, cells, d, cells, dtype=torch.float64)
    for i in range(d):
        dense[i, :, i, :] += 0.7 * laplacian
        for j in range(d):
            dense[i, torch.arange(cells), j, torch.arange(cells)] += blocks[:, i, j]
    expected = -torch.linalg.solve(dense.reshape(d * cells, d * cells), slope.flatten()).reshape(1, d, *shape)
    curvature = torch.stack([blocks[:, i, j].reshape(shape) for i, j in entries(d)])[None]
    found = solved(curvature, slope.reshape(1, d, *shape), 0.7, 80)
    assert torch.allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("shape", [(10, 12, 11), (16, 14)])
def test_one_step_of_the_model_finds_a_small_shift(shape):
    """Gauss and Newton's: nearly the whole way at once, in the direction of the displacement."""
    d = len(shape)
    image = smooth(shape, 6, 7, count=2, size=3.0)
    u = torch.zeros(2, d, *shape)
    u[0, 0], u[1, 1] = 0.4, -0.3  # a shift along I in one, along J in the other
    fixed = warp(image, u)
    objective = SquaredDifference(fixed.movedim(1, -1).contiguous(), image.movedim(1, -1).contiguous())
    now = objective.around(torch.zeros_like(u))
    curvature = now.curvature.flatten(2).sum(2).reshape(2, -1, *([1] * d))
    slope = now.slope.flatten(2).sum(2).reshape(2, d, *([1] * d))
    step = solved(curvature, slope, 0.0, 10).reshape(2, d)
    assert torch.allclose(step, u.flatten(2)[..., 0], atol=0.05)
    assert (objective.around(u).energy < 0.02 * now.energy).all()


def test_a_voxel_of_no_weight_exerts_no_force_and_images_of_a_batch_do_not_meet():
    fixed, moving = (smooth((8, 9), 4, seed, count=3).movedim(1, -1).contiguous() for seed in (8, 9))
    weight = torch.ones(3, 8, 9)
    weight[1, :, :4] = 0
    now = SquaredDifference(fixed, moving, weight).around(torch.zeros(3, 2, 8, 9))
    assert now.slope[1, :, :, :4].abs().max() == 0 < now.slope[1, :, :, 4:].abs().min()
    alone = SquaredDifference(fixed[2:], moving[2:]).around(torch.zeros(1, 2, 8, 9))
    assert torch.equal(alone.slope[0], now.slope[2]) and alone.energy[0] == pytest.approx(float(now.energy[2]))


def test_leaving_the_part_of_the_moving_image_that_counts_gains_nothing():
    fixed, moving = (smooth((12, 12), 4, seed).movedim(1, -1).contiguous() for seed in (10, 11))
    counts = torch.ones(1, 12, 12)
    counts[..., 8:] = 0
    objective = SquaredDifference(fixed, fixed + 0.5, None, counts)
    away = torch.zeros(1, 2, 12, 12)
    away[:, 0] = 3  # three columns more of the image meet what does not count
    here, there = (float(objective.around(u).energy) for u in (torch.zeros_like(away), away))
    assert there > 0.9 * here and moving.shape == fixed.shape


def test_the_information_falls_where_the_images_are_moved_apart_and_its_slope_points_back():
    image = (smooth((40, 40), 1, 12) + 1) / 2
    objective = Information(image, (1 - image).square())
    together, apart = torch.zeros(1, 2, 40, 40), torch.zeros(1, 2, 40, 40)
    apart[:, 0] = 1.5
    now = objective.around(apart)
    assert float(now.energy) > float(objective.around(together).energy) + 0.1
    inside = now.slope[..., 5:-5, 5:-5].flatten(2).sum(2)[0]
    assert inside[0] > 5 * inside[1].abs()  # downhill is back along I


@pytest.mark.parametrize("pool", [1, 2])
def test_features_in_slabs_equal_features_at_once(pool, monkeypatch):
    image = smooth((12, 10, 8), 1, 13, count=2)
    monkeypatch.setattr("DeepMultiModalRegLib.engine.refinement.features.SLAB_VOXELS", 240)
    monkeypatch.setattr("DeepMultiModalRegLib.engine.refinement.features.SHARE", 1)
    found = mind_features(image, pool, torch.float32)
    expected = torch.nn.functional.avg_pool3d(mind(image), pool).movedim(1, -1)
    assert torch.allclose(found, expected, atol=1e-4)
