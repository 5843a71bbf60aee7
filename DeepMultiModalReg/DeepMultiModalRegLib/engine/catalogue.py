"""Catalogue: the models there are, and loading one after checking that it is what it says."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from ..core import InputError
from ..methods.base import Method
from .description import FILE, SHIPPED, ModelDescription, check_description, read_description
from .weights import borrowed, checked_bytes, halved, packed, shares_of, stored, without_shared

PLACE = "DEEPMULTIMODALREG_MODELS"  # environment variable: more folders of models, separated as in PATH


@dataclass(frozen=True)
class LoadedModel:
    """A method with its weights, ready to run: eval mode, no gradients, float32.

    To register with a method that is in no catalogue (a test's, one in training), make one of these and pass it as
    `model`.
    spacing: mm of the working lattice. sha256: of the weights, or what stands for it.
    """

    name: str
    method: Method
    spacing: float
    sha256: str = ""
    reason: str = "given by the caller"
    modalities: tuple[str, ...] = ("any",)
    normalisation: str = "quantile"

    @property
    def dimension(self) -> int:
        return self.method.dimension

    @property
    def locating(self) -> bool:
        """Whether it says of one image where it lies (for the start) rather than how a pair differs."""
        return self.method.locating

    def describe(self) -> dict:
        """For the report."""
        return {"name": self.name, "sha256": self.sha256, "dimension": self.dimension, "reason": self.reason}


def places() -> list[Path]:
    """Folders of models, first come first served: those of DEEPMULTIMODALREG_MODELS, then the shipped ones."""
    own = [Path(p) for p in os.environ.get(PLACE, "").split(os.pathsep) if p]
    return [place for place in (*own, *SHIPPED) if place.is_dir()]


def installed_models() -> tuple[list[ModelDescription], list[str]]:
    """All valid models by name, and a sentence for each that is not valid."""
    found: dict[str, ModelDescription] = {}
    broken = []
    for place in places():
        for folder in sorted(path.parent for path in place.glob(f"*/{FILE}")):
            if folder.name in found:
                continue
            try:
                found[folder.name] = read_description(folder)
            except InputError as error:
                broken.append(str(error))
    return [found[name] for name in sorted(found)], broken


def find(name: str) -> ModelDescription:
    """The model of that name. Raises InputError where there is none, or its description is not valid."""
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", name):  # a name, never a path
        for place in places():
            if (place / name / FILE).is_file():
                return read_description(place / name)
    known = ", ".join(model.name for model in installed_models()[0]) or "none is installed"
    raise InputError(f"There is no model '{name}'; choose one of: {known}.")


_loaded: dict[tuple[Path, str], Method] = {}  # networks only: nothing of a case is kept


def load(model: str | ModelDescription, reason: str = "chosen by the caller") -> LoadedModel:
    """The model with its weights, after their size and SHA-256 were compared with the description.

    Raises InputError where the weights are missing, altered, of another network, or lie outside the model's folder, or
    where those of a model they are shared with are.
    """
    description = find(model) if isinstance(model, str) else model
    raw = checked_bytes(description)
    digest = description.weights["sha256"]
    key = (description.folder.resolve(), digest)
    if key not in _loaded:
        _loaded[key] = _network(description, raw)
    modalities = tuple(description.modalities)
    normalisation = description.data["normalisation"]
    return LoadedModel(description.name, _loaded[key], description.spacing, digest, reason, modalities, normalisation)


def _network(description: ModelDescription, raw: bytes) -> Method:
    from ..methods import build

    method = build(description.method, description.dimension, description.settings)
    shared = borrowed(description, find)
    try:
        state = {**without_shared(stored(raw), description.shares), **shared}
        state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        method.load_state_dict(state, strict=True)
    except Exception as error:  # whatever a file that is no state of this network makes torch say
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"The weights of model '{description.name}' do not fit its method '{description.method}' ({reason}); "
            "install the model again."
        ) from error
    return method.eval().requires_grad_(False)


def write_model(
    folder: str | os.PathLike,
    description: dict,
    state_dict: dict[str, torch.Tensor],
    initial: Iterable[dict] = (),
) -> ModelDescription:
    """Writes folder/weights.pt (half precision) and folder/model.yaml; the folder's name is the model's.

    description: all fields of models/model.schema.json but name, weights and shares, which are filled in here.
    initial: networks that began as another model's (engine.weights.shares_of): those that training left as they were
    are not written again. Raises InputError where the description is not valid or a weight does not fit half
    precision; then nothing is written.
    """
    folder = Path(folder)
    state = halved(state_dict)
    shares = shares_of(state, initial, find)
    raw = packed(without_shared(state, shares))
    weights = {"file": "weights.pt", "sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    data = {
        "name": folder.name,
        **{k: v for k, v in description.items() if k not in ("name", "weights", "shares")},
        "weights": weights,
        **({"shares": shares} if shares else {}),
    }
    check_description(data, str(folder / FILE))
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    for name, content in ((weights["file"], raw), (FILE, text.encode("utf-8"))):
        temporary = folder / f".{name}.part"
        temporary.write_bytes(content)
        os.replace(temporary, folder / name)
    return read_description(folder)
