"""Weights that two models share lie in one file, and in no other version of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from fakes import DESCRIPTION, write_tiny_model

from DeepMultiModalRegLib.core import InputError
from DeepMultiModalRegLib.engine import find, load, write_model
from DeepMultiModalRegLib.methods import build

INITIAL = [{"network": name, "from": name, "model": "hierarchical-a-3d"} for name in ("g1", "g2")]


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """Two models, the second trained on from the first, of which it left g1 as it was."""
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    monkeypatch.setattr("DeepMultiModalRegLib.engine.catalogue.SHIPPED", ())
    write_tiny_model(tmp_path, "hierarchical-a-3d")
    write_model(tmp_path / "hierarchical-b-3d", DESCRIPTION, trained_on().state_dict(), INITIAL)
    return tmp_path


def trained_on() -> torch.nn.Module:
    method = build("hierarchical", 3, DESCRIPTION["settings"])
    method.load_state_dict(load("hierarchical-a-3d").method.state_dict())
    with torch.no_grad():
        next(method.g2.parameters()).add_(1.0)
    return method


def test_what_training_left_as_it_was_is_written_once_and_loaded_as_if_it_were_there(models):
    written = torch.load(models / "hierarchical-b-3d" / "weights.pt", weights_only=True)
    assert not any(key.startswith("g1.") for key in written) and any(key.startswith("g2.") for key in written)
    assert [share["network"] for share in find("hierarchical-b-3d").shares] == ["g1"]
    loaded, meant = load("hierarchical-b-3d").method.state_dict(), trained_on().state_dict()
    assert all(torch.equal(loaded[key], value.half().float()) for key, value in meant.items())
    assert len(loaded) == len(meant)


def test_another_version_of_the_model_it_shares_with_is_refused(models):
    method = trained_on()
    write_model(models / "hierarchical-a-3d", DESCRIPTION, method.state_dict())
    with pytest.raises(InputError, match="shares weights with 'hierarchical-a-3d'.*another version.*Install both"):
        load("hierarchical-b-3d")


def test_a_missing_or_altered_model_it_shares_with_is_said(models):
    weights = models / "hierarchical-a-3d" / "weights.pt"
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(InputError, match="shares weights with 'hierarchical-a-3d'.*altered or cut off"):
        load("hierarchical-b-3d")
    shutil.rmtree(models / "hierarchical-a-3d")
    with pytest.raises(InputError, match="shares weights with 'hierarchical-a-3d'.*There is no model"):
        load("hierarchical-b-3d")


def test_a_network_shared_by_now_is_not_read_from_the_file_whatever_lies_there(models):
    """A network may be replaced by another model's without the weights being written again."""
    method = trained_on()
    write_model(models / "hierarchical-b-3d", DESCRIPTION, {**method.state_dict(), "g1.of_another": torch.ones(2)})
    path = models / "hierarchical-b-3d" / "model.yaml"
    description = yaml.safe_load(path.read_text())
    digest = find("hierarchical-a-3d").weights["sha256"]
    with pytest.raises(InputError):
        load("hierarchical-b-3d")
    description["shares"] = [{"network": "g1", "from": "g1", "model": "hierarchical-a-3d", "sha256": digest}]
    path.write_text(yaml.safe_dump(description))
    loaded, lender = (load(f"hierarchical-{name}-3d").method.state_dict() for name in "ba")
    assert all(torch.equal(loaded[key], value) for key, value in lender.items() if key.startswith("g1."))
