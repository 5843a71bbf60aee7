"""The command as a whole: its help, its other commands, and that it starts without torch where none is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import write_tiny_model

from DeepMultiModalRegLib import __version__
from DeepMultiModalRegLib.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    monkeypatch.setattr("DeepMultiModalRegLib.engine.catalogue.SHIPPED", ())
    return tmp_path


def test_every_command_is_listed(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for command in ("register", "models", "demo", "train", "evaluate", "benchmark"):
        assert command in said


@pytest.mark.parametrize("command", ["register", "models", "demo", "train"])
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert "--debug" in capsys.readouterr().out


def test_the_version_is_the_library_s(capsys):
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["dance"], ["register"], ["train"], ["register", "--fixed"]])
def test_words_it_does_not_know_are_bad_input_in_one_sentence(words, capsys):
    assert main(words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_models_lists_what_is_installed_and_says_what_is_broken(models, capsys):
    write_tiny_model(models, "hierarchical-a-3d")
    (write_tiny_model(models, "hierarchical-b-2d", dimension=2) / "model.yaml").write_text("- no")
    assert main(["models"]) == 0
    said = capsys.readouterr()
    assert "hierarchical-a-3d  volume at 4 mm  T1, T2; phantom" in said.out
    assert "hierarchical-b-2d" in said.err and "not valid" in said.err


def test_models_as_json_is_json(models, capsys):
    write_tiny_model(models, "hierarchical-a-3d")
    assert main(["models", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data[0]["name"] == "hierarchical-a-3d" and data[0]["weights"]["bytes"] > 0


def test_train_and_demo_reach_their_own_module(monkeypatch):
    import types

    seen = {}
    monkeypatch.setitem(
        sys.modules, "DeepMultiModalRegLib.demo",
        types.SimpleNamespace(demo=lambda out, model: seen.update(demo=(out, model)) or 0),
    )  # fmt: skip
    monkeypatch.setitem(
        sys.modules, "DeepMultiModalRegLib.training.train",
        types.SimpleNamespace(main=lambda *words: seen.update(train=words) or 0),
    )  # fmt: skip
    assert main(["demo", "--out", "d", "--model", "m"]) == 0
    assert main(["train", "--config", "c", "--out", "o", "--resume", "--seconds", "7"]) == 0
    assert seen == {"demo": (Path("d"), "m"), "train": ("c", Path("o"), True, 7.0)}


def test_a_wrong_training_configuration_is_bad_input(capsys):
    assert main(["train", "--config", "no-such-configuration", "--out", "o"]) == 2
    assert "no-such-configuration" in capsys.readouterr().err


def test_the_engine_imports_neither_slicer_nor_vtk_nor_qt_nor_simpleitk():
    code = (
        "import sys, DeepMultiModalRegLib.engine, DeepMultiModalRegLib.methods.hierarchical\n"
        "bad = {'slicer', 'vtk', 'vtkmodules', 'qt', 'PythonQt', 'SimpleITK'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    library = {"PYTHONPATH": str(REPOSITORY / "DeepMultiModalReg")}
    done = subprocess.run([sys.executable, "-c", code], env=library, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
