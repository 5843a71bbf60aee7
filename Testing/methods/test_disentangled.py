"""Disentangled: it starts at the identity, finds which image is which, translates both ways, offers its contents."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.losses.mind import mind
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.disentangled import CONTENT

LEVEL = {"radius": 1, "star": 1, "reduced": 4, "widths": [6, 8], "full": 4}
SETTINGS = {
    "width": 4, "halvings": 1, "blocks": 1, "code": 3, "style": 2, "levels": [LEVEL], "fine": LEVEL, "steps": 5
}  # fmt: skip


def disentangled(dimension: int = 2, **settings):
    torch.manual_seed(0)
    return build("disentangled", dimension, {**SETTINGS, **settings}).eval()


class Known(torch.nn.Module):
    """A translator that is known: the first modality shows content c as c, the second as 1 - c^2; a style is the
    image's mean."""

    stored = (0.25, 0.75)

    def content(self, images, which, heads=None):
        return torch.where(which[:, None, None, None], (1 - images).clamp(min=0).sqrt(), images)

    def style(self, images, which):
        return images.mean((1, 2, 3))[:, None]

    def usual_style(self, which):
        return torch.where(which, self.stored[1], self.stored[0])[:, None]

    def decoded(self, content, style, which):
        self.seen = style
        return torch.where(which[:, None, None, None], 1 - content.square(), content)


def blocks(count: int, channels: int, *shape: int) -> torch.Tensor:
    """Random content that halving an image leaves as it is."""
    coarse = 0.1 + 0.8 * torch.rand(count, channels, *(n // 2 for n in shape))
    return torch.nn.functional.interpolate(coarse, size=shape, mode="nearest")


@pytest.mark.parametrize(
    ("dimension", "shape", "settings"), [(2, (32, 48), {}), (2, (32, 32), {"last": LEVEL}), (3, (16, 24, 16), {})]
)
def test_an_untrained_network_begins_near_the_identity(dimension, shape, settings):
    method = disentangled(dimension, **settings)
    fixed, moving = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    with torch.no_grad():
        out = method(fixed, moving, translate=True)
        assert method(fixed, moving).translated is None
    assert out.displacement.shape == (2, dimension, *shape) and out.displacement.abs().max() < 0.05
    assert out.translated.shape == fixed.shape and 0 <= out.translated.min() and out.translated.max() <= 1


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("second", [False, True])
def test_which_image_is_of_which_modality_is_found_and_either_is_translated(dimension, second):
    method = disentangled(dimension)
    method.translator = Known()
    content = blocks(3, 1, *(16,) * dimension)
    first, other = content, 1 - content.square()
    fixed, moving = (first, other) if second else (other, first)
    assert method.moving_is_second(fixed, moving) is second
    assert method.prepared(fixed, moving) == {"second": second}
    with torch.no_grad():
        translated = method(fixed, moving, translate=True).translated
        codes, features = method.contents(fixed, moving), method.features(fixed, moving)
    assert torch.allclose(translated, fixed, atol=1e-4)
    assert torch.allclose(codes[0], codes[1], atol=1e-4) and torch.allclose(codes[0], content, atol=1e-4)
    for image, code, both in zip((fixed, moving), codes, features, strict=True):
        assert torch.equal(both[:, :-1], mind(image)) and torch.equal(both[:, -1:], CONTENT * code)


def test_the_style_is_the_partner_s_or_the_stored_one():
    method = disentangled()
    method.translator = known = Known()
    content = blocks(2, 1, 16, 16)
    fixed, moving = 1 - content.square(), content
    with torch.no_grad():
        method(fixed, moving, translate=True)
        assert torch.allclose(known.seen, fixed.mean((1, 2, 3))[:, None])
        method(fixed, moving, translate="stored")
        assert torch.allclose(known.seen, torch.full((2, 1), 0.75))


def test_the_slices_of_a_volume_share_one_style():
    method = disentangled(3)
    method.translator = known = Known()
    partner = torch.rand(1, 1, 16, 16, 16)
    partner[:, :, 8:] = 0  # empty slices say nothing of the style
    with torch.no_grad():
        method._translated(torch.rand(16, 1, 16, 16), torch.tensor([False]), partner.movedim(2, 1).flatten(0, 1))
    assert torch.allclose(known.seen, partner[:, :, :8].mean().expand(16, 1), atol=0.02)


def test_in_3d_codes_are_the_mean_of_three_planes():
    method = disentangled(3)
    volume, which = torch.rand(1, 1, 16, 12, 20), torch.tensor([True])
    encode = method.translator.content_encoders[1]
    expected = torch.zeros(3, 16, 12, 20)
    with torch.no_grad():
        for axis in range(3):
            slices = volume[0].movedim(1 + axis, 0)
            fine = torch.nn.functional.interpolate(encode(slices), size=slices.shape[2:], mode="bilinear")
            expected += fine.movedim(0, 1 + axis) / 3
        assert torch.allclose(method.codes(volume, which)[0], expected, atol=1e-4)


def test_the_last_level_sees_content_and_the_translated_image():
    method = disentangled()
    method.translator = Known()
    content = 0.1 + 0.8 * torch.rand(1, 1, 32, 32)
    seen = {}

    def fine(images, fixed_features, moving_features):
        seen.update(images=images, fixed=fixed_features, moving=moving_features)
        return torch.zeros(1, 2, 16, 16)

    method.registration.fine = torch.nn.Module()
    method.registration.fine.forward = fine
    with torch.no_grad():
        method(1 - content.square(), content)
    assert seen["fixed"].shape[1] == 4 + 1 + 1  # MIND, grey levels, content
    assert torch.allclose(seen["fixed"][:, 4:], seen["moving"][:, 4:], atol=1e-2)
    assert torch.allclose(seen["images"][0], seen["images"][2], atol=1e-2)


@pytest.mark.parametrize("second", [False, True])
def test_what_was_prepared_is_what_is_done(second):
    method = disentangled()
    method.translator = Known()
    fixed, moving = torch.rand(2, 1, 32, 32), 0.1 + 0.8 * torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        translated = method(fixed, moving, translate=True, second=second).translated
    expected = (1 - moving).sqrt() if second else 1 - moving.square()
    assert torch.allclose(translated, expected, atol=1e-4)
