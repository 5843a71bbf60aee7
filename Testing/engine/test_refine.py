"""Refinement: it finds what is left, in millimetres, on any lattice, and leaves everything else alone."""

from __future__ import annotations

import json

import pytest
import torch
from fakes import Constant, Wavy, model_of
from lattices import make_grid, random_image, rotation, smooth_field
from textures import textured, warped_pair

from DeepMultiModalRegLib.core import Affine, Cancelled, DenseField, Image, InputError, folds, resample
from DeepMultiModalRegLib.engine import refine as refine_module
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.chain import chained
from DeepMultiModalRegLib.engine.correction import corrected
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.engine.refine import refine
from DeepMultiModalRegLib.engine.refinement.root import Root, rooted

VOLUME = make_grid((40, 36, 34), (2, 2.2, 2.1), (-30, 20, 10), rotation(15, -14, 28))
PLANE = make_grid((64, 56), (1, 1.2), (-30, 20), rotation(20))
STILL = {2: Constant(0.0, 0.0), 3: Constant(0.0, 0.0, 0.0)}


def error(transform, truth, grid, fixed: Image) -> float:
    """Mean mm in the body."""
    x = grid.points(torch.float32)[fixed.tensor[0] > 200]
    return float((transform.points(x) - truth.points(x)).norm(dim=-1).mean())


@pytest.mark.parametrize("by", ["mind", "mi"])
@pytest.mark.parametrize("grid", [VOLUME, PLANE], ids=["oblique volume", "turned plane"])
def test_it_finds_a_known_field_across_modalities(grid, by):
    fixed, moving, truth = warped_pair(grid)
    model = model_of(STILL[grid.dimension])
    before = register(fixed, moving, model, start="none")
    after = register(fixed, moving, model, start="none", refine=20, refine_by=by)
    assert error(before.transform, truth, grid, fixed) > 1.5
    share = 0.52 if by == "mind" else 0.75
    assert error(after.transform, truth, grid, fixed) < share * error(before.transform, truth, grid, fixed)
    assert folds(after.transform, grid) == 0


def stack_and_shifted(slices: int, shift: tuple[float, float]) -> tuple[Image, Image, torch.Tensor]:
    """Thick slices, the same moved by mm along the plane's first axis and across the slices, and that as a vector."""
    grid = make_grid((48, 44, slices), (1.5, 1.5, 6.0), (0, 0, 0), rotation(0, 0, 15))
    moving = textured(grid)
    vector = grid.matrix[:-1, 0] / 1.5 * shift[0] + grid.matrix[:-1, 2] / 6.0 * shift[1]
    return resample(moving, grid, Affine.from_parts(torch.eye(3, dtype=torch.float64), vector)), moving, vector


def test_few_slices_are_refined_each_in_its_plane():
    fixed, moving, shift = stack_and_shifted(7, (3.0, 0.0))
    result = register(fixed, moving, model_of(STILL[2]), start="none", refine=15)
    found, grid = result.transform.displacement(fixed.grid), fixed.grid
    assert torch.allclose(found[:, fixed.tensor[0] > 400].mean(1), shift.float(), atol=0.5)
    across = torch.einsum("r,r...->...", grid.matrix[:-1, 2].float() / 6.0, found)
    assert float(across.abs().max()) < 1e-4
    assert result.report["refinement"]["lattice"]["kind"] == "slices"


def test_thick_slices_are_refined_as_a_volume_and_then_in_their_planes():
    fixed, moving, shift = stack_and_shifted(14, (3.0, 3.0))
    result = register(fixed, moving, model_of(STILL[2]), start="none", refine=15)
    found = result.transform.displacement(fixed.grid)[:, fixed.tensor[0] > 400].mean(1)
    assert float((found - shift.float()).norm()) < 0.35 * float(shift.norm())
    report = result.report["refinement"]
    assert report["planes"]["lattice"]["kind"] == "slices" and report["lattice"]["kind"] == "volume"
    assert report["iterations"] > sum(level["steps"] for level in report["levels"])
    assert result.report["folds_percent"] == 0


def test_local_correlation_finds_a_field_between_images_of_one_modality():
    fixed, moving = resample(textured(VOLUME), VOLUME, truth := smooth_field(VOLUME, 3.0)), textured(VOLUME)
    result = register(fixed, moving, model_of(Wavy(3, 0.0)), start="none", refine=20, refine_by="ncc")
    identity = Affine.identity(3)
    assert error(result.transform, truth, VOLUME, fixed) < 0.6 * error(identity, truth, VOLUME, fixed)


def test_it_goes_on_from_the_method_s_field():
    """Six voxels off, further than refinement reaches here, but the method has brought it near."""
    shift = [12.0, -2.0, 1.0]
    grid = make_grid((48, 40, 36), (2, 2, 2), (0, 0, 0), rotation(0, 0, 0))
    fixed, moving = textured(grid), textured(grid)
    moving = resample(moving, grid, Affine.from_parts(torch.eye(3, dtype=torch.float64), -torch.tensor(shift).double()))
    model = model_of(Constant(5.0, -0.5, 0.0))  # 10 mm and -1 mm on its lattice of 2 mm
    result = register(fixed, moving, model, start="none", refine=15)
    u = result.transform.displacement(grid)[:, fixed.tensor[0] > 400].mean(1)
    assert torch.allclose(u, torch.tensor(shift), atol=0.6)


def refined_error(fixed: Image, moving: Image, truth, root: Root) -> float:
    """Mean mm in the body after refining from a root."""
    pair = Pair(fixed, moving, None, None, 0.0, 0.0)
    root = corrected(pair, root, body_points(fixed))
    found, _ = refine(pair, root, False, 20, torch.device("cpu"))
    return error(chained(root.base, found.field), truth, fixed.grid, fixed)


def test_what_a_network_got_wrong_is_undone_as_if_it_had_not_been():
    """The deformation is stiff as a whole, not only in what the refinement adds: from the true field with rough errors,
    and from one that leads the other way, it arrives where it arrives from nothing."""
    fixed, moving, truth = warped_pair(VOLUME)
    noise = torch.randn(1, 3, *VOLUME.shape, generator=torch.Generator().manual_seed(5))
    for _ in range(3):
        noise = torch.nn.functional.avg_pool3d(noise, 3, 1, 1)
    rough = truth.field.tensor + 1.5 * noise[0] / noise.std()
    body, identity = body_points(fixed), Affine.identity(3)
    from_nothing = refined_error(fixed, moving, truth, Root(identity))
    network = DenseField(Image(rough, VOLUME))
    from_rough = refined_error(fixed, moving, truth, rooted(identity, network, body))
    only_added = refined_error(fixed, moving, truth, Root(network.closed()))
    assert from_rough < 1.1 * from_nothing < only_added
    away = DenseField(Image(-truth.field.tensor, VOLUME))
    assert refined_error(fixed, moving, truth, rooted(identity, away, body)) < 1.3 * from_nothing


def test_images_that_have_nothing_in_common_are_not_folded_onto_each_other():
    fixed, noise = textured(VOLUME), random_image(VOLUME, 3)
    for by in ("mind", "mi", "ncc"):
        result = register(fixed, noise, model_of(Wavy(3, 6.0)), start="none", refine=20, refine_by=by)
        assert folds(result.transform, VOLUME) < 0.1
        assert result.report["folds_percent"] < 0.1


def test_the_translated_image_follows_the_refinement():
    grid = make_grid((48, 40, 36), (2, 2, 2), (0, 0, 0), rotation(0, 0, 0))
    moving, truth = textured(grid), smooth_field(grid, 3.0)
    fixed = resample(moving, grid, truth)
    model = model_of(Constant(0.5, 0.0, 0.0))
    result = register(fixed, moving, model, start="none", refine=20, translated=True)
    body = fixed.tensor[0] > 300
    both = torch.stack([result.translated.tensor[0][body], result.warped.tensor[0][body]])
    assert torch.corrcoef(both)[0, 1] < -0.97  # the stand-in renders the negative


def test_a_pair_that_agrees_stays_where_it_is_and_ends_early():
    image = textured(VOLUME)
    result = register(image, image, model_of(STILL[3]), start="none", refine=50)
    assert result.report["refinement"]["iterations"] < 15
    assert result.report["displacement_mm"]["max"] < 0.05


def test_the_objective_never_rises_within_a_level_and_the_report_says_how_it_went():
    fixed, moving, _ = warped_pair(VOLUME)
    report = register(fixed, moving, "affine", start="none", refine=12).report
    told = json.loads(json.dumps(report["refinement"], allow_nan=False))
    for level in told["levels"]:
        assert level["objective"] == sorted(level["objective"], reverse=True)
        assert level["steps"] <= 12
    assert told["similarity"]["after"] < told["similarity"]["before"] and told["measure"] == "MIND-SSC"
    assert told["iterations"] == sum(level["steps"] for level in told["levels"])
    assert report["seconds"]["refine"] > 0 and report["parameters"]["refine"] == 12


@pytest.mark.parametrize("by", ["mind", "mi", "ncc"])
def test_a_case_does_not_depend_on_the_one_before_it_nor_change_the_weights(by):
    model = model_of(Wavy(3))
    weights = {name: value.clone() for name, value in model.method.state_dict().items()}
    case_a, case_b = warped_pair(VOLUME)[:2], warped_pair(VOLUME, 1.5)[:2]
    alone = register(*case_b, model, refine=6, refine_by=by)
    register(*case_a, model, refine=6, refine_by=by, seed=3)
    after = register(*case_b, model, refine=6, refine_by=by)
    assert torch.equal(alone.transform.dense.field.tensor, after.transform.dense.field.tensor)
    assert torch.equal(alone.warped.tensor, after.warped.tensor)
    assert all(torch.equal(value, weights[name]) for name, value in model.method.state_dict().items())


def two_lumps(near: float, far: float):
    """Two balls apart along x, each moved along y by its own amount."""
    grid = make_grid((64, 32, 32), (2, 2, 2), (0, 0, 0), rotation(0, 0, 0))
    x = grid.points(torch.float32)

    def image(a: float, b: float) -> Image:
        distances = [
            (x - torch.tensor([30.0, 31 + a, 31])).norm(dim=-1), (x - torch.tensor([96.0, 31 + b, 31])).norm(dim=-1)
        ]  # fmt: skip
        return Image(sum(1000 * torch.sigmoid((14 - r) / 1.0) for r in distances)[None], grid)

    return image(0.0, 0.0), image(near, far), grid


@pytest.mark.parametrize("role", ["fixed_mask", "moving_mask"])
def test_only_what_a_mask_holds_pulls(role):
    fixed, moving, grid = two_lumps(4.0, -4.0)
    mask = torch.zeros(1, *grid.shape, dtype=torch.uint8)
    mask[..., :32] = 1  # the half of the first lump
    body = fixed.tensor[0] > 500

    def moved(**masks) -> tuple[float, float]:
        """Mean mm along y of the first and of the second lump."""
        result = register(fixed, moving, model_of(STILL[3]), start="none", refine=15, **masks)
        u = result.transform.displacement(grid)[1]
        return float(u[..., :32][body[..., :32]].mean()), float(u[..., 32:][body[..., 32:]].mean())

    assert moved() == pytest.approx((4.0, -4.0), abs=0.8)
    near, far = moved(**{role: Image(mask, grid)})
    assert near == pytest.approx(4.0, abs=0.8)
    assert far > -0.5  # nothing draws it down: it follows its neighbours, or lies outside the lattice


def test_a_model_s_own_features_can_be_what_is_compared():
    class Describing(Constant):
        calls = 0

        def features(self, fixed, moving):
            Describing.calls += 1
            assert all(n % self.multiple == 0 for n in fixed.shape[2:])
            return tuple(torch.cat([image, image.square()], 1) for image in (fixed, moving))

    fixed, moving = resample(textured(VOLUME), VOLUME, truth := smooth_field(VOLUME, 2.0)), textured(VOLUME)
    result = register(fixed, moving, model_of(Describing(0.0, 0.0, 0.0)), start="none", refine=20, refine_by="model")
    assert error(result.transform, truth, VOLUME, fixed) < 0.6 * error(Affine.identity(3), truth, VOLUME, fixed)
    assert Describing.calls == 1 and result.report["refinement"]["measure"] == "the model's features"
    told = result.report["refinement"]["similarity"]
    assert told["after"] < told["before"]


def test_what_cannot_be_compared_is_refused_with_a_remedy():
    with pytest.raises(InputError, match="mind, mi, ncc"):
        register(textured(VOLUME), textured(VOLUME), model_of(STILL[3]), refine=5, refine_by="ssim")
    with pytest.raises(InputError, match="refine by mind"):
        register(textured(VOLUME), textured(VOLUME), model_of(STILL[3]), refine=5, refine_by="model")


@pytest.mark.parametrize("steps", [-5, 2.5, True])
def test_steps_that_are_no_number_of_steps_are_refused(steps):
    with pytest.raises(InputError, match="whole number from 0 on.*give 0 for none"):
        register(textured(VOLUME), textured(VOLUME), "affine", refine=steps)


def test_the_refinement_can_be_stopped_between_steps():
    fixed, moving, _ = warped_pair(VOLUME)
    steps = []

    def progress(fraction, step):
        steps.append(step)

    with pytest.raises(Cancelled):
        register(
            fixed, moving, model_of(STILL[3]), start="none", refine=20, progress=progress,
            cancelled=lambda: steps.count("refine") >= 3,
        )  # fmt: skip
    assert steps.count("refine") == 3


def test_where_memory_is_short_it_works_on_a_coarser_lattice_and_says_so(monkeypatch):
    real, calls = refine_module.seen_pair, []

    def breaking(*given):
        calls.append(given)
        if len(calls) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return real(*given)

    monkeypatch.setattr(refine_module, "seen_pair", breaking)
    fixed, moving, _ = warped_pair(VOLUME)
    result = register(fixed, moving, model_of(STILL[3]), start="none", refine=3)
    assert any("refinement worked on a lattice 1.3 times coarser" in w for w in result.report["warnings"])


def test_it_is_the_same_bits_on_any_number_of_threads(monkeypatch):
    for place in ("reading.CHUNK", "objective.CHUNK", "features.SLAB_VOXELS"):  # else a small pair is one piece
        monkeypatch.setattr(f"DeepMultiModalRegLib.engine.refinement.{place}", 4000)
    fixed, moving, _ = warped_pair(VOLUME)
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.append(register(fixed, moving, model_of(STILL[3]), start="none", refine=5).transform)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert torch.equal(other.affine.matrix, found[0].affine.matrix)
        assert torch.equal(other.dense.field.tensor, found[0].dense.field.tensor)


def test_only_where_it_is_refined_a_method_may_be_rough():
    class Hasty(Constant):
        def rough(self, fixed, moving):
            self.asked = True
            return self(fixed, moving)

    fixed, moving, _ = warped_pair(VOLUME)
    for settings, expected in (
        ({}, False), ({"refine": 1}, True), ({"refine": 1, "translated": True}, False),
        ({"refine": 1, "refine_by": "ncc"}, False),
    ):  # fmt: skip
        method = Hasty(0.0, 0.0, 0.0)
        register(fixed, moving, model_of(method), start="none", **settings)
        assert hasattr(method, "asked") is expected


@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_no_level_looks_finer_than_the_slices_of_either_image_hold(side):
    lattice = (-30, 20, 10), rotation(15, -14, 28)
    even, thick = make_grid((40, 36, 34), (2, 2.2, 2.1), *lattice), make_grid((40, 36, 18), (2, 2.2, 3.9), *lattice)
    images = {"fixed": textured(even), "moving": textured(even)}
    finest = {}
    for grid in (even, thick):
        images[side] = textured(grid)
        report = register(images["fixed"], images["moving"], model_of(STILL[3]), start="none", refine=3).report
        finest[grid] = report["refinement"]["levels"][-1]["voxel_mm"]
    assert finest[even] < 2.2 and finest[thick] > 4
