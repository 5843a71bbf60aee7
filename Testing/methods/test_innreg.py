"""INNReg: it starts at the identity, finds the way to translate, and translates whichever image is moving."""

from __future__ import annotations

import pytest
import torch
from fakes import model_of, phantom

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.modality import moving_is_second
from DeepMultiModalRegLib.networks.pair_sorter import PairSorter
from DeepMultiModalRegLib.networks.warp import warp

LEVEL = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4}
SETTINGS = {"blocks": 2, "growth": 4, "side": 3, "levels": [LEVEL], "fine": LEVEL, "steps": 5}


def innreg(dimension: int = 2, **settings):
    torch.manual_seed(0)
    return build("innreg", dimension, {**SETTINGS, **settings}).eval()


class Gamma(torch.nn.Module):
    """A translator that is known: x to sqrt(1 - x), and back."""

    def forward(self, image, inverse=False):
        return 1 - image.square() if inverse else (1 - image).clamp(min=0).sqrt()


class Brightness(torch.nn.Module):
    """The second modality is the brighter one."""

    def forward(self, one, other):
        return (other - one).flatten(1).mean(1)


@pytest.mark.parametrize(
    ("dimension", "shape", "settings"),
    [
        (2, (32, 48), {}),
        (2, (32, 32), {"translator": "residual"}),
        (2, (32, 32), {"translator": "none", "last": LEVEL}),
        (3, (16, 24, 16), {}),
        (3, (16, 16, 16), {"planewise": True}),
    ],
)
def test_an_untrained_network_begins_near_the_identity(dimension, shape, settings):
    method = innreg(dimension, **settings)
    fixed, moving = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    with torch.no_grad():
        out = method(fixed, moving, translate=True)
    assert out.displacement.shape == (2, dimension, *shape)
    assert out.displacement.abs().max() < 0.05
    assert (out.translated is None) == (settings.get("translator") == "none")


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("shape", [(32, 32), (16, 16, 16)])
def test_the_way_of_translation_is_found_from_the_images(backward, shape):
    method = innreg(len(shape))
    method.translator = Gamma()
    method.sorter = Brightness()
    bright, dark = 0.6 + 0.4 * torch.rand(3, 1, *shape), 0.4 * torch.rand(3, 1, *shape)
    fixed, moving = (dark, bright) if backward else (bright, dark)
    assert moving_is_second(method.sorter, fixed, moving) is backward
    with torch.no_grad():
        translated = method(fixed, moving, translate=True).translated
    assert torch.allclose(translated, method.translator(moving, backward), atol=1e-6)


def test_all_slices_of_a_pair_are_translated_the_same_way_whatever_each_of_them_shows():
    method = innreg()
    method.translator, method.sorter = Gamma(), Brightness()
    moving = torch.full((4, 1, 32, 32), 0.6)
    fixed = torch.tensor([0.1, 0.1, 0.1, 0.9]).reshape(-1, 1, 1, 1).expand(4, 1, 32, 32).contiguous()
    common = method.prepared(fixed, moving)
    assert common == {"backward": True}
    with torch.no_grad():
        for part in (slice(0, 3), slice(3, 4)):  # as the engine's batches
            translated = method(fixed[part], moving[part], True, **common).translated
            assert torch.allclose(translated, method.translator(moving[part], True), atol=1e-6)


def test_the_sorter_learns_which_is_which_from_pairs_of_levels_and_ignores_the_air():
    """Fluid is bright in the second where it is dark in the first; all else is alike."""
    torch.manual_seed(0)
    sorter = PairSorter()
    optimizer = torch.optim.Adam(sorter.parameters(), 1e-2)

    def pair():
        fluid, both = torch.rand(8, 1, 16, 16) < 0.15, 0.3 + 0.4 * torch.rand(8, 1, 16, 16)
        return both.masked_fill(fluid, 0.1), both.masked_fill(fluid, 0.9)

    for _ in range(80):
        optimizer.zero_grad()
        torch.nn.functional.softplus(-sorter(*pair())).mean().backward()
        optimizer.step()
    with torch.no_grad():
        first, second = pair()
        assert (sorter(first, second) > 0).all() and (sorter(second, first) < 0).all()
        around = [torch.nn.functional.pad(x, [16] * 4) for x in (first, second)]
        assert torch.allclose(sorter(*around), sorter(first, second), atol=1e-4)


def test_a_mixed_batch_is_translated_each_its_own_way():
    method = innreg()
    x = torch.rand(4, 1, 32, 32)
    way = torch.tensor([True, False, False, True])
    with torch.no_grad():
        both = method.translation(x, way)
        for i in range(4):
            assert torch.allclose(both[i : i + 1], method.translator(x[i : i + 1], bool(way[i])), atol=1e-6)


def test_a_planewise_translation_is_the_mean_of_three_planes():
    method = innreg(3, planewise=True)
    with torch.no_grad():
        for p in method.translator.parameters():
            p.add_(0.1 * torch.randn(p.shape))
        volume = torch.rand(1, 1, 16, 12, 20)
        plane = method.translator.network
        expected = torch.zeros(16, 12, 20)
        for k in range(16):
            expected[k] += plane(volume[:, :, k])[0, 0] / 3
        for j in range(12):
            expected[:, j] += plane(volume[:, :, :, j])[0, 0] / 3
        for i in range(20):
            expected[:, :, i] += plane(volume[..., i])[0, 0] / 3
        assert torch.allclose(method.translator(volume)[0, 0], expected, atol=1e-4)


def test_the_engine_runs_volumes_through_a_translator_of_slices():
    grid = Grid.regular((24, 24, 24), 3.0)
    result = register(phantom(grid), phantom(grid), model_of(innreg(3, planewise=True), 3.0), "none", translated=True)
    assert result.translated.grid.same_as(grid) and torch.isfinite(result.translated.tensor).all()


def test_it_registers_what_it_was_given_by_its_levels():
    method = innreg()
    velocity = torch.zeros(1, 2, 16, 16)
    velocity[:, 0] = 1.5  # half-resolution voxels along I
    method.registration.coarse = lambda fixed, moving: velocity
    moving = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        u = method(moving, moving).displacement
    assert torch.allclose(u[:, 0, 8:24, 8:24], torch.tensor(3.0), atol=0.05)
    assert warp(moving, u).shape == moving.shape
