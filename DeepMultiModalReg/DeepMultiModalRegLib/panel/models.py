"""Models: what the catalogue's descriptions say, for the panel. Reads names without PyYAML, descriptions with it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from .words import tr as _

LIBRARY = Path(__file__).resolve().parents[1]
CLASSICAL = {  # the engine's methods without a network, chosen by name as models are
    "affine": _("Turns, shifts, scales and shears the moving volume; bends nothing. No network."),
    "rigid": _("Turns and shifts the moving volume; for two scans of one patient's head. No network."),
}
LARGEST = 256 * 1024
CT_BELOW = -500.0  # as engine.foreground
LOCATING = {"equivariant", "equivariant_volume"}  # as methods: they find poses, for the start, and register no pair


@dataclass(frozen=True)
class Model:
    """One entry of the list. `data` is its model.yaml, empty where PyYAML is not installed or the file is broken."""

    name: str
    data: dict = field(default_factory=dict, repr=False)

    @property
    def dimension(self) -> int | None:
        found = self.data.get("dimension")
        if found in (2, 3):
            return found
        return 2 if self.name.endswith("-2d") else 3 if self.name.endswith("-3d") else None

    @property
    def locates(self) -> bool:
        """Whether it finds poses, for the start "network"."""
        return str(self.data.get("method", self.name)).split("-")[0] in LOCATING

    @property
    def modalities(self) -> list[str]:
        return [str(m) for m in self.data.get("modalities", [])]

    def seconds(self, refined: bool = False) -> list[float]:
        """Times of a registration in the model's own table of results; those of other methods beside it do not count,
        nor those of a part of the network."""
        found = []
        for row in self.data.get("results", []):
            if isinstance(row, dict):
                method, _comma, how = str(row.get("method", self.name)).partition(", ")
                value = row.get("whole s", row.get("seconds"))
                kept = how == "refined" if refined else how == "" or how.startswith("whole")
                if method == self.name and kept and isinstance(value, int | float):
                    found.append(float(value))
        return found

    def time(self) -> str:
        """What to expect, in words."""
        plain, refined = self.seconds(), self.seconds(refined=True)
        if not plain:
            return _("some seconds")
        words = _("{span} on a processor").format(span=span(plain))
        if any(isinstance(row, dict) and row.get("group") == "slices" for row in self.data.get("results", [])):
            words = _("{span} a slice on a processor").format(span=span(plain))
        if refined:
            words += _(", {span} with refinement").format(span=span(refined))
        return words + _("; a few more to start")

    def lines(self) -> list[tuple[str, str]]:
        """(heading, words) for the description in the panel."""
        data = self.data
        if self.name in CLASSICAL:
            return [(_("What it does"), CLASSICAL[self.name]), (_("Time"), self.time())]
        if not data:
            return [(_("Model"), self.name)]
        working = _("slice by slice") if self.dimension == 2 else _("as a volume")
        found = [
            (_("What it does"), str(data.get("description", ""))),
            (_("Images"), ", ".join(self.modalities)),
            (_("Anatomy"), ", ".join(map(str, data.get("anatomy", [])))),
            (_("Works"), _("{how}, at {mm} mm").format(how=working, mm=data.get("working", {}).get("spacing", "?"))),
            (_("Time"), self.time()),
            (_("Limits"), " ".join(map(str, data.get("limits", [])))),
            (_("Licence"), str(data.get("licence", ""))),
            (_("To cite"), str(data.get("citation", ""))),
        ]
        return [(heading, words) for heading, words in found if words]


def span(seconds: list[float]) -> str:
    """The shortest and the longest of some times, as one would say it."""

    def rounded(value: float) -> str:
        return f"{max(value, 0.01):.1g}" if value < 0.95 else f"{value:.0f}"

    low, high = rounded(min(seconds)), rounded(max(seconds))
    return _("about {n} s").format(n=low) if low == high else _("{low} to {high} s").format(low=low, high=high)


def places() -> list[Path]:
    """Folders of models, as engine.catalogue has them."""
    own = [Path(p) for p in os.environ.get("DEEPMULTIMODALREG_MODELS", "").split(os.pathsep) if p]
    return [*own, LIBRARY.parents[1] / "models", LIBRARY / "models"]


def model_names() -> list[str]:
    """Names of the installed models, by their folders alone."""
    return sorted({path.parent.name for place in places() for path in place.glob("*/model.yaml")})


def installed() -> list[Model]:
    """All installed models, by name."""
    found: dict[str, Model] = {}
    for place in places():
        for path in sorted(place.glob("*/model.yaml")):
            found.setdefault(path.parent.name, Model(path.parent.name, _read(path)))
    return [found[name] for name in sorted(found)]


def ordered(models: list[Model], fixed, moving, mode: str = "auto") -> list[tuple[Model, bool]]:
    """(model, whether it fits both volumes): the networks that fit, the methods without a network, the other networks.

    mode: auto | volume | slices.
    """
    wanted = {"volume": 3, "slices": 2}.get(mode)
    kinds = [modality_of(node) for node in (fixed, moving) if node is not None]
    planar = fixed is not None and _better_in_planes(fixed)

    def rank(model: Model) -> tuple:
        return (not fits(model, kinds), (model.dimension == 2) != (planar or mode == "slices"), model.name)

    usable = [m for m in models if not m.locates and (wanted is None or m.dimension in (None, wanted))]
    found = [(m, fits(m, kinds)) for m in sorted(usable, key=rank)]
    fitting = [entry for entry in found if entry[1]]
    return [*fitting, *((Model(name), True) for name in CLASSICAL), *found[len(fitting) :]]


def fits(model: Model, kinds: list[str]) -> bool:
    """Whether the model was trained for every kind; an MR whose weighting is not known suits any MR model."""
    trained = set(model.modalities)
    if not trained or "any" in trained:
        return True
    mr = {"MR", "T1", "T2", "PD", "FLAIR"}
    return all(k in trained or (k in mr and ("MR" in trained or (k == "MR" and trained & mr))) for k in kinds)


def modality_of(node) -> str:
    """CT for Hounsfield units (as engine.choice), else T1 or T2 where the name says so, else MR."""
    data = node.GetImageData()
    if data is not None and data.GetNumberOfPoints() and data.GetScalarRange()[0] < CT_BELOW:
        return "CT"
    words = node.GetName().upper().replace("-", "_").replace(" ", "_").split("_")
    return next((w[:2] for w in words if w[:2] in ("T1", "T2")), "MR")


def _better_in_planes(node) -> bool:
    data = node.GetImageData()
    if data is None:
        return False
    spacing = node.GetSpacing()
    return min(data.GetDimensions()) < 8 or max(spacing) >= max(4.0, 3.0 * min(spacing))


def _read(path: Path) -> dict:
    """The description, or {} where it cannot be read; the engine checks it fully before a run."""
    try:
        import yaml
    except ImportError:
        return {}
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            return {}
        text = raw.decode("utf-8")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the panel waits for it: ten times faster with libyaml
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            return {}  # aliases of aliases can cost gigabytes
        data = yaml.load(text, loader)
    except (OSError, UnicodeDecodeError, RecursionError, ValueError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}
