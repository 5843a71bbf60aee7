"""The catalogue as the panel reads it: small, safe, the fitting models first."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from fakes import write_tiny_model
from harness.pairs import ball

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.engine import choice, installed_models
from DeepMultiModalRegLib.engine.foreground import CT_BELOW
from DeepMultiModalRegLib.methods import LOCATING
from DeepMultiModalRegLib.panel import method_section, models, packages


@pytest.fixture
def catalogue(monkeypatch, tmp_path):
    write_tiny_model(tmp_path, "a-ct-3d", modalities=["CT"])
    write_tiny_model(tmp_path, "b-t1t2-3d")
    write_tiny_model(tmp_path, "c-any-2d", modalities=["any"], dimension=2)
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    return tmp_path


def names(found) -> list[str]:
    return [model.name for model, _ in found if model.name[1] == "-"]


def test_what_the_panel_lists_is_what_the_engine_finds(catalogue) -> None:
    assert [m.name for m in models.installed()] == [m.name for m in installed_models()[0]] == models.model_names()
    assert models.CT_BELOW == CT_BELOW and models.LOCATING == LOCATING


def test_models_that_fit_the_volumes_and_their_slices_come_first(catalogue, headless) -> None:
    found = models.installed()
    t1, t2, ct = ball("T1"), ball("T2_tse"), ball("head", low=-1000)
    everything = [(model.name, fits) for model, fits in models.ordered(found, t1, t2)]
    place = [name for name, _ in everything].index
    assert place("b-t1t2-3d") < place("affine") < place("rigid") < place("a-ct-3d") and not dict(everything)["a-ct-3d"]
    assert names(models.ordered(found, t1, t2)) == ["b-t1t2-3d", "c-any-2d", "a-ct-3d"]
    assert names(models.ordered(found, ct, ct))[-1] == "b-t1t2-3d"
    thick = ball("T1 thick", size=(24, 22, 6))
    assert names(models.ordered(found, thick, t2))[0] == "c-any-2d"
    assert names(models.ordered(found, t1, t2, "slices")) == ["c-any-2d"]
    assert method_section.automatic_model("", "slices", t1, t2) in {m.name for m in found if m.dimension == 2}
    assert method_section.automatic_model("", "auto", t1, t2) is None
    assert method_section.automatic_model("a-ct-3d", "slices", t1, t2) == "a-ct-3d"


@pytest.mark.parametrize("size", [(24, 22, 20), (24, 22, 7), (24, 22, 8)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.9), (1.0, 1.0, 4.0), (2.0, 2.0, 5.9), (2.0, 2.0, 6)])
def test_the_panel_takes_slices_for_a_volume_where_the_engine_does(headless, size, spacing) -> None:
    node = ball("T1", size=size)
    node.SetSpacing(*spacing)
    assert models._better_in_planes(node) == choice.better_in_planes(Grid.regular(size, spacing))


def time_of(rows: list[dict]) -> str:
    return models.Model("m-3d", {"results": rows}).time()


def test_the_expected_time_comes_from_the_models_own_rows_and_no_other_methods() -> None:
    rows = [
        {"method": "ants-syn", "seconds": 46.6}, {"method": "m-3d", "seconds": 0.69}, "odd",
        {"method": "m-3d", "whole s": 2.7}, {"method": "m-3d, refined", "seconds": 9.7},
        {"method": "m-3d, G1 only", "seconds": 0.01},
    ]  # fmt: skip
    assert time_of(rows) == "0.7 to 3 s on a processor, about 10 s with refinement; a few more to start"
    slices = [{"group": "slices", "method": "m-3d, whole", "seconds": 0.03}]
    assert time_of(slices) == "about 0.03 s a slice on a processor; a few more to start"
    assert time_of([{"method": "ants-syn", "seconds": 46.6}]) == time_of([]) == "some seconds"


def test_the_shipped_models_say_what_to_expect(monkeypatch) -> None:
    monkeypatch.delenv("DEEPMULTIMODALREG_MODELS", raising=False)
    shipped = [model for model in models.installed() if not model.locates]
    assert shipped
    for model in shipped:
        lines = dict(model.lines())
        assert {"What it does", "Images", "Anatomy", "Works", "Time", "Limits", "Licence", "To cite"} == set(lines)
        assert lines["Time"] != "some seconds"


def test_a_model_that_finds_poses_is_no_choice_for_a_pair(headless) -> None:
    found = [models.Model("equivariant-any-brain-3d"), models.Model("z-3d", {"method": "equivariant_volume"})]
    assert {model.name for model, _ in models.ordered(found, ball("T1"), ball("T2"))} == set(models.CLASSICAL)


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x\n", "\t: {", "- 1\n", "\xff", "a: 1\n" * 100_000])
def test_a_broken_description_does_not_keep_the_panel_from_opening(catalogue, text: str) -> None:
    (catalogue / "b-t1t2-3d" / "model.yaml").write_bytes(text.encode("latin-1"))
    assert {m.name: m.data for m in models.installed()}["b-t1t2-3d"] == {}


@pytest.mark.parametrize("newer", [False, True])
def test_pyyaml_and_nothing_else_is_added_through_slicers_own_installer(monkeypatch, newer: bool) -> None:
    here, installed = {"torch"}, []
    monkeypatch.setattr(packages, "installed", lambda package: package in here)

    def pip_install(name: str) -> None:
        installed.append(name)
        here.add("yaml")

    application = SimpleNamespace(util=SimpleNamespace(pip_install=pip_install))
    if newer:  # Slicer 5.12 has its installer in slicer.packaging
        monkeypatch.setitem(sys.modules, "slicer.packaging", SimpleNamespace(pip_install=pip_install))
        application = SimpleNamespace(util=SimpleNamespace())
    assert packages.status() == "PyYAML not installed."
    packages.install(application)
    assert installed == ["PyYAML"] and packages.missing() == []
