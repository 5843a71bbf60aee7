"""The shipped 2D pose model on a real adult it never saw: the bundled T1 and T2, one slice of each, in any pose."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from DeepMultiModalRegLib.core import Affine, Grid, Image, InputError, reorient, resample
from DeepMultiModalRegLib.engine import load, register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.device import Precision
from DeepMultiModalRegLib.engine.foreground import background
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.engine.network_start import BELIEVED_MM, HESITANT_MM, network_start
from DeepMultiModalRegLib.io import read_image, read_transform

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "Resources" / "SampleData"
NAME = "equivariant-t2-brain-2d"
SLICES = (26, 28)  # at the level of thalamus and ventricles
TURNS = tuple(range(-180, 180, 30))


@pytest.fixture(scope="module")
def planes() -> list[tuple[Image, Image]]:
    """(T1, T2) of the same plane on one lattice, mm about its middle."""
    t1, t2 = (read_image(SAMPLE / name)[0] for name in ("fixed_t1.nii.gz", "moving_t2.nii.gz"))
    t1 = reorient(t1)
    t2 = resample(t2, t1.grid, read_transform(SAMPLE / "truth.h5"))
    lattice = Grid.regular(t1.grid.size[:2], t1.grid.spacing[:2])
    return [(Image(t1.tensor[:, k], lattice), Image(t2.tensor[:, k], lattice)) for k in SLICES]


def posed(image: Image, degrees: float, generator: torch.Generator) -> tuple[Image, Affine]:
    """The image turned, shifted by up to 15 mm and scaled by up to 10 %; and where its points then lie."""
    a = math.radians(degrees)
    scale = 1 + 0.1 * (2 * torch.rand((), generator=generator).item() - 1)
    turn = scale * torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    truth = Affine.from_parts(turn, 30 * torch.rand(2, generator=generator) - 15)
    lattice = Grid.regular((280, 280), 0.9)
    return resample(image, lattice, truth.inverse(), "linear", 0.0), truth


def errors(found, truth: Affine, fixed: Image) -> float:
    """mm, mean over the head."""
    inside = fixed.tensor[0] > 0.15 * fixed.tensor.max()
    points = fixed.grid.points(torch.float64)[inside]
    return float((found.points(points) - truth.points(points)).norm(dim=-1).mean())


def test_volumes_are_refused_with_a_sentence():
    volume, _ = read_image(SAMPLE / "fixed_t1.nii.gz")
    with pytest.raises(InputError, match="one plane of the head"):
        register(volume, volume, model=NAME)


def test_a_slice_in_any_pose_is_found_through_the_template(planes):
    """T1 fixed and upright, T2 moving in twelve turns: nothing but the network."""
    model, precision = load(NAME), Precision.best(torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    found = []
    for t1, t2 in planes:
        for degrees in TURNS:
            moving, truth = posed(t2, degrees, generator)
            pair = Pair(t1, moving, None, None, background(t1), background(moving))
            begun = network_start(pair, (body_points(t1), body_points(moving)), model, precision)
            found.append(errors(begun.transform, truth, t1))
    assert sum(found) / len(found) < 6 and max(found) < 10, [round(e, 1) for e in found]


@pytest.mark.parametrize("options", [{"model": "affine", "start": "network"}, {"model": NAME}])
def test_the_start_network_and_an_affine_registration_find_it_exactly(planes, options):
    """Asked for as a start or as a model: its answer is what an affine registration begins with."""
    generator = torch.Generator().manual_seed(1)
    t1, t2 = planes[0]
    found = []
    for degrees in TURNS[::3]:
        moving, truth = posed(t2, degrees, generator)
        result = register(t1, moving, **options)
        assert result.report["parameters"]["start"]["network"]["model"]["name"] == NAME
        found.append(errors(result.transform, truth, t1))
    assert max(found) < 1.5, [round(e, 2) for e in found]


def doubts(t1: Image, t2: Image) -> tuple[list[float], list[str]]:
    """Of the start: mm for both images, and the warnings."""
    report = register(t1, t2, model="rigid", start="network").report
    return report["parameters"]["start"]["network"]["doubt_mm"], report["warnings"]


def test_slices_it_knows_are_not_doubted_and_what_is_no_head_or_hardly_one_is(planes):
    t1, t2 = planes[0]
    generator = torch.Generator().manual_seed(2)
    known, warnings = doubts(t1, t2)
    assert max(known) < HESITANT_MM and not any("start network" in w for w in warnings)
    noise = t2.with_tensor(torch.rand(t2.tensor.shape, generator=generator))
    corner = t2.tensor.clone()
    j, i = (n // 3 for n in corner.shape[1:])
    corner[:, j:], corner[:, :, i:] = 0, 0  # a ninth of the picture: a piece of skull and cortex
    for strange in (noise, t2.with_tensor(corner)):
        told, warnings = doubts(t1, strange)
        assert told[1] > BELIEVED_MM > told[0]
        assert any("not sure where the moving image lies; the start moments was used" in w for w in warnings)
