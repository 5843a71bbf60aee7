"""The start 'network': composition through the template, whatever the lattice; unsure answers are not used."""

from __future__ import annotations

import pytest
import torch
from fakes import phantom
from lattices import make_grid, rotation

from DeepMultiModalRegLib.core import Affine, Image, InputError, reorient
from DeepMultiModalRegLib.engine import network_start, register, start
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.catalogue import LoadedModel
from DeepMultiModalRegLib.engine.choice import choose
from DeepMultiModalRegLib.engine.device import Precision
from DeepMultiModalRegLib.engine.locate import BETWEEN, Location, locate
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.engine.network_start import starting_model, through_template
from DeepMultiModalRegLib.methods import LOCATING, build
from DeepMultiModalRegLib.methods.equivariant_turns import ASTRAY
from DeepMultiModalRegLib.networks.cube import cube_turns

GRID = make_grid((44, 40, 36), (2, 2.1, 1.9), (30, -60, 12), rotation(8, -5, 20))
IMAGE = phantom(GRID)
FLOAT32 = Precision(torch.device("cpu"))


def model(seed: int = 0) -> LoadedModel:
    torch.manual_seed(seed)
    method = build("equivariant_volume", 3, {"size": 32, "widths": [4, 6, 8, 10], "depth": 1})
    torch.nn.init.normal_(method.locator.head.weight, 0, 0.4)
    return LoadedModel("untrained", method.eval().requires_grad_(False), 7.0)


def random_affine(generator: torch.Generator, shear: float = 0.1) -> Affine:
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn)
    stretch = torch.eye(3) * (1 + 0.3 * torch.rand((), generator=generator)) + shear * torch.rand(
        3, 3, generator=generator
    )
    return Affine.from_parts(turn @ stretch.double(), torch.randn(3, generator=generator, dtype=torch.float64) * 40)


def located(image: Image, sure: float = 1e9) -> Location:
    return locate(model().method, image, None, 0.0, body_points(image), FLOAT32, sure)


def test_two_places_in_the_template_give_the_way_from_one_image_to_the_other():
    generator = torch.Generator().manual_seed(0)
    template = random_affine(generator)
    turn = random_affine(generator, shear=0.0)
    fixed, moving = Location(template, 1.0, 1), Location(template @ turn.inverse(), 1.0, 1)
    torch.testing.assert_close(through_template(fixed, moving).matrix, turn.matrix)


def test_no_pair_of_200_is_mirrored_and_none_is_sheared():
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        fixed, moving = (Location(random_affine(generator, 0.4), 1.0, 1) for _ in range(2))
        found = through_template(fixed, moving)
        stretches = torch.linalg.svdvals(found.linear)
        assert torch.linalg.det(found.linear) > 0 and stretches.max() / stretches.min() < 1 + 1e-9
        origin = fixed.to_template.inverse().translation  # the middle of the brain stays on itself
        torch.testing.assert_close(
            moving.to_template.points(found.points(origin)), torch.zeros(3).double(), atol=1e-6, rtol=0
        )


def test_the_second_scan_looks_from_between_the_sides_of_the_first():
    turns = cube_turns().double()
    trace = torch.einsum("ij,nij->n", BETWEEN, turns)
    assert torch.rad2deg(((trace - 1) / 2).acos()).min() > 62


@pytest.mark.parametrize("order", [(0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1)])
def test_the_order_of_the_axes_in_memory_says_nothing(order):
    """The same voxels in the same places, their axes stored in another order or the other way round (left-handed)."""
    axes = [3 - order[3 - world] for world in range(3)]
    direction = torch.tensor(GRID.direction).reshape(3, 3)[:, axes]
    grid = type(GRID)(
        tuple(GRID.size[a] for a in axes), tuple(GRID.spacing[a] for a in axes), GRID.origin,
        tuple(direction.flatten().tolist()),
    )  # fmt: skip
    other = Image(IMAGE.tensor.permute(order).contiguous(), grid)
    torch.testing.assert_close(grid.points(), GRID.points().permute(*[o - 1 for o in order[1:]], 3))
    torch.testing.assert_close(
        located(other).to_template.matrix, located(IMAGE).to_template.matrix, atol=0.05, rtol=0.01
    )
    torch.testing.assert_close(
        located(reorient(IMAGE)).to_template.matrix, located(IMAGE).to_template.matrix, atol=0.05, rtol=0.01
    )


def test_an_image_carried_elsewhere_is_found_elsewhere():
    shift = torch.tensor([300.0, -200.0, 90.0], dtype=torch.float64)
    origin = tuple((torch.tensor(GRID.origin) + shift).tolist())
    carried = Image(IMAGE.tensor, type(GRID)(GRID.size, GRID.spacing, origin, GRID.direction))
    before, after = located(IMAGE), located(carried)
    torch.testing.assert_close(
        after.to_template.points(GRID.centre + shift), before.to_template.points(GRID.centre), atol=0.1, rtol=0.01
    )
    assert after.doubt == pytest.approx(before.doubt, rel=0.01)


def test_doubt_is_answered_by_a_second_scan_and_not_made_greater():
    assert located(IMAGE).scans == 1
    again = located(IMAGE, sure=0.0)
    assert again.scans == 2 and again.doubt <= located(IMAGE).doubt


def test_an_unsure_network_is_not_used_and_the_warning_names_the_image(monkeypatch):
    monkeypatch.setattr(network_start, "BELIEVED_MM", 0.0)
    monkeypatch.setattr(start, "starting_model", lambda dimension: model())
    report = register(IMAGE, IMAGE, "rigid", start="network").report
    assert any("not sure where the fixed and the moving image lies; the start moments" in w for w in report["warnings"])
    told = report["parameters"]["start"]
    assert told["kind"] == "network" and told["network"]["believed"] is False
    assert torch.allclose(torch.tensor(told["matrix"]), torch.eye(4), atol=1e-3)


def test_a_sure_network_makes_the_start_and_the_report_says_how_sure(monkeypatch):
    monkeypatch.setattr(network_start, "BELIEVED_MM", 1e9)
    monkeypatch.setattr(start, "starting_model", lambda dimension: model())
    state = torch.random.get_rng_state()
    first, second = (register(IMAGE, IMAGE, "rigid", start="network") for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.transform.matrix, second.transform.matrix)
    told = first.report["parameters"]["start"]["network"]
    assert told["believed"] and told["model"]["name"] == "untrained" and len(told["doubt_mm"]) == 2
    # one image with itself: both places are the same, whatever the network says
    assert (first.transform.points(GRID.corners()) - GRID.corners()).norm(dim=-1).mean() < 4.0


def test_a_model_that_finds_poses_gives_an_affine(monkeypatch):
    monkeypatch.setattr(network_start, "BELIEVED_MM", 1e9)
    result = register(IMAGE, IMAGE, model())
    assert isinstance(result.transform, Affine) and torch.linalg.det(result.transform.linear) > 0
    assert result.report["model"]["name"] == "untrained"


def test_a_missing_model_is_a_sentence(monkeypatch):
    monkeypatch.setattr(network_start, "STARTING", {3: "not-here"})
    with pytest.raises(InputError, match="needs the model 'not-here', which is not installed"):
        starting_model(3)
    with pytest.raises(InputError, match="not installed"):
        register(IMAGE, IMAGE, "rigid", start="network")


def test_a_network_that_looks_at_one_image_is_not_chosen_for_a_pair():
    chosen = choose(IMAGE, IMAGE)
    assert not chosen.locating
    assert not any(word in chosen.name for word in LOCATING)


def test_methods_that_say_where_one_image_lies_know_it_of_themselves():
    settings = {"equivariant": (2, {}), "equivariant_volume": (3, {}), "hierarchical": (2, {})}
    for name, (dimension, more) in settings.items():
        assert build(name, dimension, more).locating == (name in LOCATING)
    assert settings.keys() >= LOCATING


def test_slices_go_through_the_template_of_a_network_for_slices(monkeypatch):
    torch.manual_seed(0)
    flat = build("equivariant", 2, {"shape": [64, 56], "widths": [4, 8, 8]}).eval().requires_grad_(False)
    torch.nn.init.normal_(flat.regressor.head.weight, 0, 0.01)
    slices = LoadedModel("flat", flat, 2.0)
    grid = make_grid((60, 50), (2, 2.2), (40, -30), rotation(12))
    shift = torch.tensor([70.0, -45.0], dtype=torch.float64)
    image = phantom(grid)
    origin = tuple((torch.tensor(grid.origin) + shift).tolist())
    carried = Image(image.tensor, type(grid)(grid.size, grid.spacing, origin, grid.direction))
    bodies = body_points(image), body_points(carried)
    pair = Pair(image, carried, None, None, 0.0, 0.0)
    found = network_start.network_start(pair, bodies, slices, FLOAT32)
    assert found.report["believed"] and not found.warnings
    expected = Affine.from_parts(torch.eye(2, dtype=torch.float64), shift)
    torch.testing.assert_close(found.transform.matrix, expected.matrix, atol=0.05, rtol=0.01)


def test_a_slice_that_is_doubted_starts_by_moments_and_the_doubt_is_in_millimetres(monkeypatch):
    torch.manual_seed(0)
    dense = {"shape": [64, 56], "widths": [4, 6], "head": "dense"}
    flat = build("equivariant", 2, dense).eval().requires_grad_(False)
    slices, image = LoadedModel("flat", flat, 2.0), phantom(make_grid((60, 50), (2, 2.2), (40, -30), rotation(12)))
    monkeypatch.setattr(start, "starting_model", lambda dimension: slices)
    report = register(image, image, "rigid", start="network").report
    told = report["parameters"]["start"]["network"]
    # untrained: no turn speaks more than another, so that three of four chances are to be ASTRAY
    assert not told["believed"] and told["doubt_mm"][0] > 0.7 * ASTRAY * flat.unit * slices.spacing
    assert any("not sure where the fixed and the moving image lies; the start moments" in w for w in report["warnings"])
    monkeypatch.setattr(network_start, "BELIEVED_MM", 1e9)
    report = register(image, image, "rigid", start="network").report
    assert report["parameters"]["start"]["network"]["believed"]
    assert any("hesitates where the moving image lies (doubt" in w for w in report["warnings"])
