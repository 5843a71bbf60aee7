"""MethodSection: the list of models, the fitting ones first, with what their descriptions say; start, device, mode."""

from __future__ import annotations

import html
import shutil
import subprocess

from . import models
from .words import tr as _


class MethodSection:
    """panel: has `ui` (widgets by name) and `parameters` (the parameter node or None)."""

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self._models: list[models.Model] = []
        self._listed: tuple | None = None
        self._filling = self._cards = False
        starts = {
            "moments": _("Centres of mass"), "rigid": _("Rigid alignment"), "affine": _("Affine alignment"),
            "centre": _("Centres of the volumes"), "none": _("As they lie now"),
        }  # fmt: skip
        modes = {"auto": _("Volumes or slices"), "volume": _("Volumes"), "slices": _("Slices")}
        places = {"auto": _("Automatic"), "cpu": _("Processor (CPU)")}
        for name, items in (("start", starts), ("mode", modes), ("device", places)):
            for value, words in items.items():
                getattr(self._ui, f"{name}Selector").addItem(words, value)
        self.read_models()

    def read_models(self) -> None:
        """Reads the catalogue's descriptions (small files; no network, no weights)."""
        self._models = models.installed()
        self._listed = None

    def list_devices(self) -> None:
        """Adds the graphics cards, once; asked for when Advanced is opened, so that the panel opens at once."""
        if not self._cards:
            self._cards = True
            for value, words in graphics_cards().items():
                index = self._ui.deviceSelector.findData(value)
                if index < 0:
                    self._ui.deviceSelector.addItem(words, value)
                else:
                    self._ui.deviceSelector.setItemText(index, words)

    def update(self, parameters) -> None:
        """Shows the parameter node's choices and orders the models for its volumes."""
        self._filling = True
        try:
            self._list(parameters)
            for name in ("start", "mode", "device"):
                selector, value = getattr(self._ui, f"{name}Selector"), getattr(parameters, name)
                if name == "device" and value and selector.findData(value) < 0:
                    selector.addItem(value, value)  # a card of the scene's last user, or one not yet asked for
                selector.setCurrentIndex(max(0, selector.findData(value)))
            self._ui.startSelector.enabled = parameters.initialTransform is None
        finally:
            self._filling = False

    def store(self) -> None:
        """Takes over what the user chose."""
        parameters = self._panel.parameters
        if self._filling or parameters is None:
            return
        for name in ("model", "start", "mode", "device"):
            selector = getattr(self._ui, f"{name}Selector")
            value = selector.itemData(selector.currentIndex) or ""
            if getattr(parameters, name) != value:
                setattr(parameters, name, value)

    def _list(self, parameters) -> None:
        ordered = models.ordered(self._models, parameters.fixedVolume, parameters.movingVolume, parameters.mode)
        wanted = tuple((model.name, fits) for model, fits in ordered)
        selector = self._ui.modelSelector
        if wanted != self._listed:
            selector.clear()
            best = self._best(ordered)
            selector.addItem(_("Automatic ({name})").format(name=best) if best else _("Automatic"), "")
            for model, fits in ordered:
                words = model.name if fits else _("{name} (trained for other images)").format(name=model.name)
                selector.addItem(words, model.name)
            self._listed = wanted
        # a model of a scene from elsewhere that is not installed here shows as Automatic
        selector.setCurrentIndex(max(0, selector.findData(parameters.model)))
        self._ui.modelDescription.text = self.describe(parameters.model or self._best(ordered))

    @staticmethod
    def _best(ordered) -> str:
        return next((model.name for model, fits in ordered if fits and model.name not in models.CLASSICAL), "")

    def describe(self, name: str) -> str:
        """The description as rich text."""
        if name in models.CLASSICAL:
            chosen = models.Model(name)
        else:
            chosen = next((model for model in self._models if model.name == name), None)
        if chosen is None:
            if self._models:
                return _("The model that fits both volumes is taken.")
            return _("No model is installed: install the extension again, or choose affine or rigid.")
        rows = [f"<b>{html.escape(heading)}:</b> {html.escape(words)}" for heading, words in chosen.lines()]
        return "<br>".join(rows)


def automatic_model(name: str, mode: str, fixed, moving) -> str | None:
    """The model to ask the engine for: the chosen one; of a mode, the best of it; else None, and the engine chooses."""
    if name:
        return name
    if mode in ("volume", "slices"):
        ordered = models.ordered(models.installed(), fixed, moving, mode)
        return next((model.name for model, _fits in ordered if model.name not in models.CLASSICAL), None)
    return None


def graphics_cards() -> dict[str, str]:
    """Device name to words with the card's memory. Asks the driver's own tool, not torch."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    query = [tool, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=2, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {}
    found = {}
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit():
            found[f"cuda:{parts[0]}"] = _("{name}, {gb:.0f} GB").format(name=parts[1], gb=int(parts[2]) / 1024)
    return found
