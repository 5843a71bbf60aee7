"""An ablation's description: variants of a training configuration, read from evaluation/ablations/NAME.yaml."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..core import InputError
from ..engine.schema import violations
from ..training.train import check_config, read_config

FOLDER = Path(__file__).parent / "ablations"


@dataclass(frozen=True)
class Variant:
    """name: its folder; title: as printed; overrides: of the base configuration; begin: the variant it begins with;
    shown: whether it is a row; published: the paper's figure or "?"."""

    name: str
    title: str
    published: str
    overrides: dict = field(default_factory=dict)
    begin: str | None = None
    shown: bool = True


@dataclass(frozen=True)
class Ablation:
    """See ablations/ablation.schema.json."""

    name: str
    base: str
    words: str
    published_words: str
    slices_of: tuple[str, ...]
    common: dict
    variants: dict[str, Variant]
    cases: dict | None = None  # of an ablation in three dimensions: {list, only}, in place of slices

    @property
    def dimension(self) -> int:
        return read_config(self.base)["dimension"]

    def config(self, name: str) -> dict:
        """A variant's training configuration. Raises InputError where the overrides make it invalid."""
        settings = read_config(self.base)
        for change in (self.common, self.variants[name].overrides):
            settings = merged(settings, change)
        check_config(settings, f"of the variant {name} of {self.name}")
        return settings

    def steps(self, name: str) -> int:
        return sum(stage["steps"] for stage in self.config(name)["training"]["stages"])


def read_ablation(source: str | Path) -> Ablation:
    """The ablation in a YAML file, or the shipped one of that name. Raises InputError."""
    path = Path(source) if Path(source).is_file() else FOLDER / f"{source}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise InputError(f"There is no ablation '{source}'; there is one of {known}.")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema = json.loads((FOLDER / "ablation.schema.json").read_text(encoding="utf-8"))
    if found := violations(data, schema):
        raise InputError(f"The ablation {path} is not valid: {'; '.join(found[:5])}. Correct it and try again.")
    variants = {entry["name"]: Variant(**entry) for entry in data["variants"]}
    if len(variants) < len(data["variants"]):
        raise InputError(f"The ablation {path} names two variants alike; give each a name of its own.")
    unknown = sorted({variant.begin for variant in variants.values()} - {None, *variants})
    if unknown:
        raise InputError(f"The ablation {path} has no variant {', '.join(unknown)} to begin with; name another.")
    if ("cases" in data) == ("slices_of" in data):
        raise InputError(f"The ablation {path} must say what is measured by one of slices_of and cases; give just one.")
    plain = {key: data.get(key) for key in ("name", "base", "words", "published_words", "cases")}
    slices_of = tuple(data.get("slices_of", ()))
    return Ablation(**plain, slices_of=slices_of, common=data.get("common", {}), variants=variants)


def merged(settings: dict, change: dict) -> dict:
    """Mappings are merged, anything else is replaced, None removes; both stay as they are."""
    result = copy.deepcopy(settings)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = merged({}, value) if isinstance(value, dict) else copy.deepcopy(value)
    return result
