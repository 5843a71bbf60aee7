"""Description: a model.yaml, read without trusting it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import yaml

from ..core import InputError
from .schema import violations

LIBRARY = Path(__file__).resolve().parents[1]
# the repository; a built or installed extension or package
SHIPPED = (LIBRARY.parents[1] / "models", LIBRARY / "models")
FILE = "model.yaml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where PyYAML has libyaml
LARGEST = 256 * 1024  # bytes of a model.yaml
DEEPEST = 12  # lists and mappings within one another


@dataclass(frozen=True)
class ModelDescription:
    """One model of the catalogue. `data` is the whole model.yaml, to read only; the fields are what the engine uses."""

    folder: Path
    data: dict = field(repr=False)

    @property
    def name(self) -> str:
        return self.data["name"]

    @property
    def method(self) -> str:
        return self.data["method"]

    @property
    def settings(self) -> dict:
        return self.data["settings"]

    @property
    def dimension(self) -> int:
        """2: slice by slice and 2D images; 3: volumes."""
        return self.data["dimension"]

    @property
    def modalities(self) -> list[str]:
        return self.data["modalities"]

    @property
    def affine(self) -> bool:
        """Whether it finds an affine transform and nothing more."""
        return self.settings.get("registration") == "affine"

    @property
    def spacing(self) -> float:
        """mm of the working lattice."""
        return float(self.data["working"]["spacing"])

    @property
    def compared_mm(self) -> float | None:
        """Its mean error where models that fit alike were compared; None where it was not among them."""
        return float(self.data["compared"]["error_mm"]) if "compared" in self.data else None

    @property
    def weights(self) -> dict:
        """{"file", "sha256", "bytes"}."""
        return self.data["weights"]

    @property
    def shares(self) -> list[dict]:
        """Networks whose weights lie in another model's file: {"network", "from", "model", "sha256"} each."""
        return self.data.get("shares", [])


@cache
def model_schema() -> dict:
    """The JSON schema of a model.yaml: always the shipped one, never one that lies beside a stranger's model."""
    for place in SHIPPED:
        if (place / "model.schema.json").is_file():
            return json.loads((place / "model.schema.json").read_text(encoding="utf-8"))
    raise FileNotFoundError("models/model.schema.json is missing: the installation of DeepMultiModalReg is incomplete.")


def read_description(folder: Path) -> ModelDescription:
    """The description in `folder`/model.yaml. Raises InputError where it is not a valid one, or not of this folder."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    data = _valid(path, raw)
    if data["name"] != folder.name:
        raise InputError(f"The model in {folder} calls itself '{data['name']}'; its folder must have the same name.")
    return ModelDescription(folder, data)


@lru_cache(maxsize=64)  # by content: reading YAML takes longer than all else between two registrations
def _valid(path: Path, raw: bytes) -> dict:
    data = _parse(path, raw)
    check_description(data, str(path))
    return data


def check_description(data: object, source: str) -> None:
    """Raises InputError naming what in `data` breaks the schema."""
    found = violations(data, model_schema())
    if not found and len(data["working"]["size"]) != data["dimension"]:
        found = ["working.size: needs as many numbers as the dimension"]
    if found:
        raise InputError(
            f"The model description {source} is not valid: {'; '.join(found[:5])}. Correct it and try again."
        )


def _parse(path: Path, raw: bytes) -> object:
    try:
        if len(raw) > LARGEST:
            raise InputError(
                f"The model description {path} is larger than {LARGEST // 1024} KB; it is not one of a model."
            )
        text = raw.decode("utf-8")
        _refuse_tricks(text, path)
        return yaml.load(text, LOADER)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"The model description {path} cannot be read ({reason}); install the model again.")


def _refuse_tricks(text: str, path: Path) -> None:
    """Raises InputError for small YAML that costs gigabytes (aliases of aliases) or minutes (deep nesting) to read."""
    depth = 0
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"The model description {path} uses YAML aliases, which are refused; write it out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise InputError(f"The model description {path} is nested too deeply for one; install the model again.")
