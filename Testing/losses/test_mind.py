"""MIND-SSC against a loop over voxels, and what makes it the same in every modality."""

from __future__ import annotations

import math
from itertools import combinations, product

import pytest
import torch

from DeepMultiModalRegLib.losses.mind import channels, mind, reach, variance_level


def naive(image: torch.Tensor, x: tuple[int, ...], radius: int, dilation: int) -> list[float]:
    """Heinrich et al. 2013 at one voxel well inside, its channels in ascending order."""
    d = image.dim()

    def patch(centre) -> torch.Tensor:
        return image[tuple(slice(c - radius, c + radius + 1) for c in centre)]

    neighbours = [
        tuple(p + sign * dilation * (i == axis) for i, p in enumerate(x)) for axis in range(d) for sign in (1, -1)
    ]
    opposite = {(2 * axis, 2 * axis + 1) for axis in range(d)}
    pairs = [pair for pair in combinations(range(2 * d), 2) if pair not in opposite]
    distance = [float((patch(neighbours[i]) - patch(neighbours[j])).square().sum()) for i, j in pairs]
    distance = [value - min(distance) for value in distance]
    variance = sum(distance) / len(distance)
    return sorted(math.exp(-value / variance) for value in distance)


@pytest.mark.parametrize("shape", [(9, 8, 10), (9, 11)])
@pytest.mark.parametrize(("radius", "dilation"), [(1, 2), (0, 1), (2, 1)])
def test_mind_equals_a_loop_over_pairs_of_patches(shape, radius, dilation):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = mind(image[None, None], radius, dilation)[0]
    assert found.shape == (channels(len(shape)), *shape)
    for x in product(*[range(reach(radius, dilation), n - reach(radius, dilation)) for n in shape]):
        described = found[(slice(None), *x)].sort().values.tolist()
        assert described == pytest.approx(naive(image, x, radius, dilation), abs=1e-5)


def test_each_channel_looks_at_its_own_pair_of_neighbours():
    """In 2D: a line along J lies between the neighbours of some pairs only."""
    image = torch.zeros(1, 1, 15, 15)
    image[..., 8:] = 1.0  # an edge: patches left of it differ from those right of it
    features = mind(image, 0, 2)[0, :, 7, 6]
    # +I (column 8) against +J and -J (column 6) differ; -I (column 4) against +J and -J do not
    assert sorted(features.tolist()) == pytest.approx([math.exp(-2), math.exp(-2), 1, 1], abs=1e-5)


@pytest.mark.parametrize("shape", [(9, 8, 10), (12, 11)])
def test_mind_does_not_change_when_the_grey_scale_is_turned_round_and_stretched(shape):
    image = torch.rand((2, 1, *shape), generator=torch.Generator().manual_seed(3))
    assert torch.allclose(mind(image), mind(700 - 35 * image), atol=2e-3)


def test_a_flat_image_is_one_everywhere_and_finite():
    assert torch.equal(mind(torch.full((1, 1, 6, 7, 8), 3.0)), torch.ones(1, 12, 6, 7, 8))


def test_every_voxel_has_a_channel_of_one_and_all_lie_between_nought_and_one():
    features = mind(torch.rand((1, 1, 10, 9, 8), generator=torch.Generator().manual_seed(4)))
    assert torch.equal(features.amax(1), torch.ones(1, 10, 9, 8)) and features.min() > 0


def test_a_part_described_at_the_whole_s_level_equals_the_part_of_the_whole():
    image = torch.rand((1, 1, 20, 9, 8), generator=torch.Generator().manual_seed(5))
    image[:, :, :8] *= 0.01  # so that the bounds of the variance bite
    whole = mind(image)
    part = mind(image[:, :, 4:16], level=variance_level(image))[:, :, reach() : -reach()]
    assert torch.allclose(part, whole[:, :, 4 + reach() : 16 - reach()], atol=1e-6)


def test_the_input_is_left_alone_and_needs_no_gradient():
    image = torch.rand((1, 1, 8, 8, 8)).requires_grad_()
    before = image.detach().clone()
    assert not mind(image).requires_grad and torch.equal(image.detach(), before)


def test_the_reach_is_as_far_as_a_voxel_s_descriptor_looks():
    image = torch.rand((1, 1, 25, 25), generator=torch.Generator().manual_seed(6))
    other = image.clone()
    other[0, 0, 12, 12] += 0.5
    level = variance_level(image)
    changed = (mind(image, level=level) != mind(other, level=level)).any(1)[0].nonzero()
    assert int((changed - 12).abs().max()) == reach() == 3 and math.isfinite(level)
