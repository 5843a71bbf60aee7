"""NeMAR: the kinds of registration, and who is translated."""

from __future__ import annotations

import pytest
import torch
from fakes import model_of, phantom

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.engine import network, register
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.networks.affine_field import affine_part
from DeepMultiModalRegLib.networks.warp import follow
from DeepMultiModalRegLib.training.validation import determinant

LEVEL = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4}


class Known(torch.nn.Module):
    """A translator that is a function of grey levels."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


class Brighter(torch.nn.Module):
    """A sorter to whom the brighter image is of the second modality."""

    def forward(self, one, other):
        return (other - one).mean((1, 2, 3))


def nemar(dimension: int = 2, **settings):
    torch.manual_seed(0)
    return build("nemar", dimension, {"levels": [LEVEL], "steps": 5, "width": 4, "blocks": 1, **settings}).eval()


@pytest.mark.parametrize("kind", ["affine", "deformable", "both"])
@pytest.mark.parametrize(("dimension", "shape"), [(2, (32, 48)), (3, (16, 16, 24))])
def test_an_untrained_network_begins_near_the_identity(dimension, shape, kind):
    method = nemar(dimension, registration=kind, last=LEVEL)
    fixed, moving = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    with torch.no_grad():
        assert method(fixed, moving).displacement.abs().max() < 0.05


def test_the_affine_kind_gives_the_affine_part_and_both_the_whole():
    ripple = torch.zeros(1, 2, 16, 16)
    ripple[:, 0] = torch.sin(torch.arange(16.0) * torch.pi / 4)
    ripple[:, 1] = 1.0
    image = 0.1 + 0.9 * torch.rand(1, 1, 32, 32)
    found = {}
    for kind in ("affine", "deformable", "both"):
        method = nemar(registration=kind)
        answers = [ripple, torch.zeros_like(ripple)]
        method.registration.coarse_ways = lambda *_, answers=answers: [answers.pop(0)]
        with torch.no_grad():
            found[kind] = method(image, image).displacement
    assert torch.allclose(found["affine"], affine_part(found["deformable"], torch.ones(1, 1, 32, 32)), atol=1e-3)
    assert torch.allclose(found["both"], found["affine"], atol=1e-3), "the second look found nothing"
    assert (found["deformable"] - found["affine"]).abs().max() > 0.5


def test_a_second_look_adds_what_the_first_left():
    """R finds half of a shift each time."""
    method = nemar(registration="affine", looks=2)
    image = torch.ones(1, 1, 64, 64)
    seen = []

    def half(fixed, moving, inverse):
        seen.append(moving)
        return [torch.full((1, 2, 32, 32), 2.0 / len(seen))]

    method.registration.coarse_ways = half
    image[..., :32] = 0.5
    with torch.no_grad():
        found = method(image, image).displacement
    assert torch.allclose(found, torch.full_like(found, 6.0), atol=0.05), "4 voxels, then 2"
    assert len(seen) == 2 and torch.equal(seen[0], image)
    assert torch.allclose(seen[1][..., :56], torch.roll(image, -4, -1)[..., :56], atol=0.02), "it sees what is left"


@pytest.mark.parametrize("kind", ["affine", "deformable", "both"])
def test_the_way_back_undoes_the_way_there(kind):
    method = nemar(registration=kind)
    smooth = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 1.5
    smooth = torch.nn.functional.interpolate(smooth, size=(32, 32), mode="bicubic")
    method.registration.levels[0].forward = lambda *_: smooth
    image = torch.ones(1, 1, 64, 64)
    with torch.no_grad():
        there, back = method.ways(image, image)
        assert torch.equal(there, method.displacement(image, image))
    far = there.abs().max()
    assert far > 1
    for outer, inner in ((there, back), (back, there)):
        assert follow(outer, inner)[..., 8:-8, 8:-8].abs().max() < 0.05 * far, "interpolation alone is left"


def test_only_an_image_of_the_first_modality_is_rendered():
    method = nemar()
    method.translator = Known(lambda x: 1 - x)
    method.sorter = Brighter()
    method.registration.coarse_ways = lambda fixed, *_: [torch.zeros(fixed.shape[0], 2, 16, 16)]
    dark = torch.rand(2, 1, 32, 32) * 0.4
    bright = dark + 0.5
    assert torch.equal(method(bright, dark, translate=True).translated, 1 - dark)
    assert method(dark, bright, translate=True).translated is None


def test_a_volume_is_rendered_whole_or_not_at_all_whatever_its_batches_of_slices_show(monkeypatch):
    """The brighter image is of the second modality; in some slices it is the darker one."""
    monkeypatch.setitem(network.BATCH_VOXELS, "cpu", 1)  # one slice at a time
    method = nemar()
    method.translator = Known(lambda x: 1 - x)
    method.sorter = Brighter()
    fixed = phantom(Grid.regular((32, 32, 6), 2.0))
    darker = fixed.tensor.square() / fixed.tensor.max()
    darker[:, 1] = fixed.tensor[:, 1].sqrt() * fixed.tensor.max().sqrt()  # but for this slice
    moving = fixed.with_tensor(darker)
    result = register(fixed, moving, model_of(method, 2.0), "none", translated=True)
    assert result.translated.tensor.shape == fixed.tensor.shape


def test_which_image_is_which_is_asked_only_where_something_is_rendered():
    method, slices = nemar(), torch.rand(3, 1, 32, 32)
    assert method.prepared(slices, slices) == {} and set(method.prepared(slices, slices, True)) == {"second"}


@pytest.mark.parametrize("size", [2.0, 4.0])
def test_a_velocity_hardly_folds_where_the_same_displacement_does(size):
    """The public code adds displacements to a lattice and controls no folds."""
    method = nemar()
    wild = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * size
    rough = torch.nn.functional.interpolate(wild, size=(32, 32), mode="bicubic")
    method.registration.levels[0].forward = lambda *_: rough
    with torch.no_grad():
        found = method(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64)).displacement
    folded, ours = ((determinant(field) <= 0).float().mean().item() for field in (rough, found))
    assert ours < 0.1 * folded and folded > 0.02, f"{folded:.4f} {ours:.4f}"
