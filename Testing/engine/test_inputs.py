"""What cannot be registered is refused with a sentence that says why and what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import Constant, model_of, phantom
from lattices import make_grid

from DeepMultiModalRegLib.core import Affine, Image, InputError
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.device import choose_device

GRID = make_grid((24, 22, 20), (2, 2, 2), (0, 0, 0), np.eye(3))
GRID_2D = make_grid((40, 36), (2, 2), (0, 0), np.eye(2))
FAR = make_grid((24, 22, 20), (2, 2, 2), (500, 0, 0), np.eye(3))
IMAGE, FLAT = phantom(GRID), phantom(GRID_2D)
MODEL = model_of(Constant(0.0, 0.0, 0.0))


def changed(value: float) -> Image:
    tensor = IMAGE.tensor.clone()
    tensor[0, 3, 4, 5] = value
    return Image(tensor, GRID)


REFUSED = {
    "constant": (Image(torch.full((1, *GRID.shape), 7.0), GRID), "constant .* check"),
    "nan": (changed(float("nan")), "not finite .* replace"),
    "infinite": (changed(float("inf")), "not finite"),
    "beyond_float32": (Image(IMAGE.tensor.double() * 1e300, GRID), "not finite"),
    "colour": (Image(IMAGE.tensor.repeat(3, 1, 1, 1), GRID), "3 values per voxel .* extract"),
    "complex": (Image(IMAGE.tensor.to(torch.complex64), GRID), "complex .* magnitude"),
    "a_line": (Image(torch.rand(1, 1, 1, 24), make_grid((24, 1, 1), (1, 1, 1), (0, 0, 0), np.eye(3))), "too small"),
    "an_array": (IMAGE.tensor, "must be an Image"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_an_image_that_cannot_be_registered_is_refused(name, role):
    image, sentence = REFUSED[name]
    pair = (image, IMAGE) if role == "fixed" else (IMAGE, image)
    with pytest.raises(InputError, match=f"(?s){role} image.*{sentence}"):
        register(*pair, MODEL)


def test_2d_against_3d_is_refused():
    with pytest.raises(InputError, match="fixed image is 3D and the moving image 2D.*slice"):
        register(IMAGE, FLAT, MODEL)


def test_a_3d_model_refuses_2d_images():
    with pytest.raises(InputError, match="volumes but the images are 2D; choose a 2D model"):
        register(FLAT, FLAT, MODEL)


def test_images_far_apart_are_refused_by_start_none_which_names_the_remedy():
    with pytest.raises(InputError, match="do not overlap.*start with moments or centre"):
        register(IMAGE, phantom(FAR), MODEL, start="none")
    for start in ("moments", "centre"):
        shift = register(IMAGE, phantom(FAR), MODEL, start=start).report["parameters"]["start"]["matrix"]
        assert shift[0][3] == pytest.approx(500, abs=0.01)


def test_a_given_start_that_brings_nothing_together_is_refused():
    away = Affine.from_parts(torch.eye(3), torch.tensor([-900.0, 0, 0]))
    with pytest.raises(InputError, match="given transform.*not the other way"):
        register(IMAGE, IMAGE, MODEL, start=away)


def test_little_overlap_is_warned_of():
    start = Affine.from_parts(torch.eye(3), torch.tensor([29.0, 0, 0]))
    warnings = register(IMAGE, IMAGE, MODEL, start=start).report["warnings"]
    assert any("lies within the moving image" in w for w in warnings)


@pytest.mark.parametrize("start", ["principal-axes", ""])
def test_a_start_that_is_not_offered_is_refused(start):
    with pytest.raises(InputError, match="start"):
        register(IMAGE, IMAGE, MODEL, start=start)


def test_a_2d_start_for_volumes_is_refused():
    with pytest.raises(InputError, match="start transform is 2D but the images are 3D"):
        register(IMAGE, IMAGE, MODEL, start=Affine.identity(2))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "tpu", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(InputError, match="not known; choose auto, cpu"):
        register(IMAGE, IMAGE, MODEL, device=device)


def test_a_device_that_is_not_there_is_refused():
    assert choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no NVIDIA GPU"):
            register(IMAGE, IMAGE, MODEL, device="cuda")
        assert choose_device("auto") == torch.device("cpu")
    else:
        with pytest.raises(InputError, match="no device cuda:77"):
            choose_device("cuda:77")
    if not torch.backends.mps.is_available():
        with pytest.raises(InputError, match="no Apple GPU"):
            choose_device("mps")
