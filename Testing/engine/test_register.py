"""The run as a whole: what it delivers, that it repeats, reports, can be stopped, and leaves its inputs alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from fakes import Breaking, Constant, Wavy, model_of, phantom
from lattices import make_grid, rotation

from DeepMultiModalRegLib.core import Cancelled, Image, InputError, MemoryShortage, RegistrationError, split
from DeepMultiModalRegLib.engine import device, register

GRID = make_grid((36, 32, 28), (2, 2.2, 2), (-30, 20, 10), rotation(5, -4, 8))
FIXED, MOVING = phantom(GRID), phantom(GRID, (3.0, -2.0, 1.0))


def field_of(result) -> torch.Tensor:
    return split(result.transform, 3)[0].field.tensor


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_same_input_gives_the_same_bits_whatever_ran_before(dimension):
    model = model_of(Wavy(dimension))
    first = register(FIXED, MOVING, model, seed=5)
    torch.manual_seed(99)
    register(MOVING, FIXED, model, seed=1)
    second = register(FIXED, MOVING, model, seed=5)
    assert torch.equal(field_of(first), field_of(second))
    assert torch.equal(first.warped.tensor, second.warped.tensor)
    other = register(FIXED, MOVING, model, seed=6)
    assert not torch.equal(field_of(first), field_of(other))  # the seed reaches the method


def test_the_caller_s_random_numbers_go_on_as_if_nothing_had_run():
    model = model_of(Wavy(3))
    torch.manual_seed(4)
    expected = torch.randn(3)
    torch.manual_seed(4)
    register(FIXED, MOVING, model)
    assert torch.equal(torch.randn(3), expected)


def test_inputs_are_not_changed():
    fixed, moving = FIXED.tensor.clone(), MOVING.tensor.clone()
    register(FIXED, MOVING, model_of(Wavy(3)), translated=True, inverse=True)
    assert torch.equal(FIXED.tensor, fixed) and torch.equal(MOVING.tensor, moving)


@pytest.mark.parametrize("dimension", [2, 3])
def test_progress_rises_from_nought_to_one_and_names_its_steps(dimension):
    told = []
    method = Constant(*([0.5] * dimension))
    register(
        FIXED, MOVING, model_of(method), progress=lambda fraction, step: told.append((fraction, step)), inverse=True
    )
    fractions = [fraction for fraction, _ in told]
    assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions)
    assert {"start", "network", "inverse", "warping"} <= {step for _, step in told}


@pytest.mark.parametrize("dimension", [2, 3])
def test_it_stops_at_every_step_where_it_is_asked_to(dimension):
    method = Constant(*([0.5] * dimension))
    asked = []
    register(FIXED, MOVING, model_of(method), cancelled=lambda: asked.append(1) and False)
    assert len(asked) >= 10
    for stop_at in range(1, len(asked) + 1):
        count = []

        def cancelled(count=count, stop_at=stop_at) -> bool:
            count.append(1)
            return len(count) == stop_at

        with pytest.raises(Cancelled):
            register(FIXED, MOVING, model_of(method), cancelled=cancelled)


def test_slices_go_through_the_network_in_batches_between_which_it_can_be_stopped(monkeypatch):
    monkeypatch.setattr("DeepMultiModalRegLib.engine.network.BATCH_VOXELS", {"cpu": 5000})
    method = Breaking([], 0.5, 0.5)
    whole = register(FIXED, MOVING, model_of(method))
    batches = [shape[0] for shape in method.shapes]
    assert len(batches) > 2 and sum(batches) == whole.report["parameters"]["working"]["size"][2]
    method.shapes.clear()
    with pytest.raises(Cancelled):
        register(FIXED, MOVING, model_of(method), cancelled=lambda: len(method.shapes) >= 2)
    assert len(method.shapes) == 2


def test_the_report_says_everything_and_is_json():
    result = register(FIXED, MOVING, model_of(Constant(1.0, 0.0, 0.0)), inverse=True, seed=7)
    report = json.loads(json.dumps(result.report, allow_nan=False))
    assert {"DeepMultiModalReg", "torch", "python"} <= set(report["versions"])
    assert report["machine"]["device"] == "cpu" and report["machine"]["precision"] in ("float32", "bfloat16")
    assert report["model"]["name"] == "fake" and report["model"]["sha256"] == "0" * 64 and report["model"]["reason"]
    assert report["parameters"]["seed"] == 7 and report["parameters"]["start"]["kind"] == "moments"
    assert report["parameters"]["working"]["spacing"] == [2.0, 2.0, 2.0]
    assert {"start", "network", "warping", "total"} <= set(report["seconds"])
    assert report["seconds"]["total"] >= report["seconds"]["network"] > 0
    assert report["peak_memory_mb"]["process"] > 50
    assert report["folds_percent"] == 0 and report["warnings"] == []
    assert report["displacement_mm"]["mean"] == pytest.approx(2.0, abs=1e-3)
    assert report["inverse_round_trip_mm"]["mean"] < 0.01


def test_similarity_tells_a_good_alignment_from_a_bad_one():
    good = register(FIXED, MOVING, model_of(Constant(0.0, 0.0, 0.0)), start="moments").report["similarity"]
    assert good["start"] > good["before"] + 0.05 and good["after"] == pytest.approx(good["start"], abs=1e-6)
    bad = register(FIXED, FIXED, model_of(Constant(4.0, 0.0, 0.0)), start="none").report["similarity"]
    assert bad["before"] == pytest.approx(2.0, abs=1e-6) and bad["after"] < 1.5


def test_a_folding_field_is_counted_and_warned_of():
    class Sawtooth(Constant):
        def forward(self, fixed, moving, translate=False):
            out = super().forward(fixed, moving, translate)
            ramp = torch.arange(out.displacement.shape[-1]) % 8
            out.displacement[:, 0] += torch.where(ramp < 4, -2.0 * ramp, -2.0 * (8 - ramp).float())
            return out

    report = register(FIXED, MOVING, model_of(Sawtooth(0.0, 0.0, 0.0))).report
    assert 20 < report["folds_percent"] < 80 and any("folds" in w for w in report["warnings"])
    assert register(FIXED, MOVING, model_of(Constant(0.0, 0.0, 0.0))).report["folds_percent"] == 0


def test_the_warped_image_is_filled_with_the_background_or_what_is_asked_for():
    method = model_of(Constant(0.0, 0.0, 0.0))
    small = make_grid((20, 20, 20), (2, 2, 2), tuple((GRID.centre - 19).tolist()), np.eye(3))
    ct = Image(phantom(small, background=-1000.0).tensor.to(torch.int16), small)
    corner = (0, 0, 0, 0)
    assert float(register(FIXED, ct, method).warped.tensor[corner]) == -1000
    assert float(register(FIXED, phantom(small), method).warped.tensor[corner]) == 0
    assert float(register(FIXED, ct, method, fill=55.0).warped.tensor[corner]) == 55


def test_warping_in_slabs_equals_warping_at_once_and_can_be_stopped_between_them(monkeypatch):
    method = model_of(Wavy(3))
    whole = register(FIXED, MOVING, method)
    told = []
    monkeypatch.setattr("DeepMultiModalRegLib.engine.warping.SLAB_VOXELS", 36 * 32 * 5)
    slabs = register(FIXED, MOVING, method, progress=lambda fraction, step: told.append(step))
    torch.testing.assert_close(slabs.warped.tensor, whole.warped.tensor, atol=0.05, rtol=0)  # of 1000 grey levels
    assert told.count("warping") >= 7 and slabs.warped.grid == whole.warped.grid


def test_ct_given_to_a_model_that_was_not_trained_for_it_is_warned_of():
    from dataclasses import replace

    model = model_of(Constant(0.0, 0.0, 0.0))
    ct = Image(MOVING.tensor * 2 - 1000, GRID)
    warned = register(FIXED, ct, replace(model, modalities=("T1", "T2"))).report["warnings"]
    assert any("moving image looks like CT" in w for w in warned)
    assert register(FIXED, ct, replace(model, modalities=("MR", "CT"))).report["warnings"] == []
    assert register(FIXED, ct, model).report["warnings"] == []


def test_the_translated_image_is_the_methods_on_the_fixed_lattice_in_the_fixed_intensities():
    fixed = Image(FIXED.tensor * 2 + 50, GRID)
    result = register(fixed, MOVING, model_of(Constant(0.0, 0.0, 0.0)), start="moments", translated=True)
    rendered, body = result.translated, MOVING.tensor > 900
    assert rendered.grid == GRID
    middle = tuple(n // 2 for n in GRID.shape)
    # the fake renders the negative: the lump's bright middle becomes the fixed image's darkest, the air its brightest
    assert float(rendered.tensor[0][middle]) < 200
    assert float(rendered.tensor.max()) == pytest.approx(float(fixed.tensor.max()), rel=0.05)
    assert body.any()


def test_a_model_that_renders_nothing_says_so():
    result = register(FIXED, MOVING, model_of(Wavy(3)), translated=True)
    assert result.translated is None and any("renders no translated image" in w for w in result.report["warnings"])


def test_a_translated_image_in_the_stored_style_is_the_method_s_or_the_report_says_that_it_keeps_none():
    class Keeping(Constant):
        keeps_styles = True
        asked = []

        def forward(self, fixed, moving, translate=False):
            Keeping.asked.append(translate)
            return super().forward(fixed, moving, bool(translate))

    result = register(FIXED, MOVING, model_of(Keeping(0.0, 0.0, 0.0)), translated="stored")
    assert result.translated is not None and Keeping.asked == ["stored"] and not result.report["warnings"]
    result = register(FIXED, MOVING, model_of(Constant(0.0, 0.0, 0.0)), translated="stored")
    assert result.translated is not None and any("keeps no style" in w for w in result.report["warnings"])
    with pytest.raises(InputError, match="True or 'stored'"):
        register(FIXED, MOVING, model_of(Wavy(3)), translated="mine")


OUT_OF_MEMORY = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"
)


def test_a_volume_that_does_not_fit_is_tried_on_a_coarser_lattice():
    method = Breaking([OUT_OF_MEMORY, OUT_OF_MEMORY], 1.0, 0.0, 0.0)
    report = register(FIXED, MOVING, model_of(method), start="none").report
    voxels = [np.prod(shape) for shape in method.shapes]
    assert len(voxels) == 3 and voxels[0] > voxels[1] > voxels[2]
    assert report["parameters"]["working"]["spacing"][0] == pytest.approx(2 * 1.3**2, abs=1e-3)
    assert sum("Memory was short" in w for w in report["warnings"]) == 2
    # one voxel of the lattice it really worked on
    assert report["displacement_mm"]["mean"] == pytest.approx(2 * 1.3**2, abs=1e-2)


def test_slices_that_do_not_fit_go_in_smaller_batches_first():
    method = Breaking([OUT_OF_MEMORY, torch.OutOfMemoryError("CUDA out of memory")], 1.0, 0.0)
    report = register(FIXED, MOVING, model_of(method), start="none").report
    assert method.shapes[2][0] <= method.shapes[0][0] // 2
    assert report["parameters"]["working"]["spacing"][0] == 2.0
    assert any("at a time" in w for w in report["warnings"])


@pytest.mark.parametrize("voxels", [(1.0, 0.0), (1.0, 0.0, 0.0)])
def test_where_nothing_fits_it_says_so(voxels):
    with pytest.raises(MemoryShortage, match="crop"):
        register(FIXED, MOVING, model_of(Breaking([OUT_OF_MEMORY] * 50, *voxels)))


def test_another_error_of_a_method_is_not_taken_for_a_shortage_of_memory():
    with pytest.raises(RuntimeError, match="shapes"):
        register(FIXED, MOVING, model_of(Breaking([RuntimeError("shapes do not fit")], 1.0, 0.0)))


def test_half_precision_that_overflows_is_repeated_in_full():
    class Overflowing(Constant):
        def forward(self, fixed, moving, translate=False):
            out = super().forward(fixed, moving, translate)
            if torch.is_autocast_enabled("cpu"):
                out.displacement[..., 0] = float("inf")
            return out

    from DeepMultiModalRegLib.engine.device import half_type

    report = register(FIXED, MOVING, model_of(Overflowing(1.0, 0.0, 0.0))).report
    assert report["machine"]["precision"] == "float32"
    warned = any("float32" in w for w in report["warnings"])
    assert warned == (half_type(torch.device("cpu")) is not None)


@pytest.mark.parametrize("much", [float("nan"), 1e30])
def test_a_field_that_cannot_be_is_refused_in_a_sentence(much):
    with pytest.raises(RegistrationError, match="not finite, or wider than the image"):
        register(FIXED, MOVING, model_of(Constant(much, 0.0, 0.0)))


@pytest.mark.parametrize(("wide", "half"), [(3, False), (24, True)])
@pytest.mark.parametrize("dimension", [2, 3])
def test_an_image_too_narrow_for_half_precision_goes_through_the_network_in_float32(monkeypatch, dimension, wide, half):
    """Convolutions that end one voxel wide read memory nobody wrote, in bfloat16 on some processors."""

    class Telling(Constant):
        def forward(self, fixed, moving, translate=False):
            told.append((torch.is_autocast_enabled("cpu"), fixed.shape[-1]))
            return super().forward(fixed, moving, translate)

    told = []
    monkeypatch.setattr(device, "half_type", lambda place: torch.bfloat16)
    pair = [phantom(make_grid((wide, 24, 24), (2, 2, 2), (0, 0, 0), np.eye(3))) for _ in "fm"]
    report = register(*pair, model_of(Telling(*[0.0] * dimension))).report
    assert told == [(half, told[0][1])] and (told[0][1] > 4) == half  # Constant's multiple is 4
    assert report["machine"]["precision"] == ("bfloat16" if half else "float32")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float64])
def test_every_voxel_type_registers(dtype):
    fixed = Image((FIXED.tensor / 5).to(dtype), GRID)
    moving = Image((MOVING.tensor / 5).to(dtype), GRID)
    result = register(fixed, moving, model_of(Constant(0.0, 0.0, 0.0)))
    assert result.warped.tensor.dtype == torch.float32
    np.testing.assert_allclose(split(result.transform, 3)[1].translation.numpy(), [3, -2, 1], atol=0.3)
