"""MethodSection: the list of models, the fitting ones first, with what their descriptions say; start, device, mode."""

from __future__ import annotations

import html

from . import models
from .devices import Devices
from .words import tr as _

STARTS = {  # those of engine.start
    "moments": _("Centres of mass together"), "rigid": _("Rigid: turn and shift"),
    "affine": _("Affine: turn, shift, scale, shear"), "centre": _("Middles of the volumes together"),
    "none": _("As they lie now"), "search": _("Any pose: looks at every turn"),
    "network": _("Any pose: pretrained network"),
}  # fmt: skip


class MethodSection:
    """panel: has `ui` (widgets by name), `parameters` (the parameter node or None), deviceTimer (start and stop)."""

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self._models: list[models.Model] = []
        self._listed: tuple | None = None
        self._filling = False
        self._devices = Devices()
        modes = {"auto": _("Volumes or slices"), "volume": _("Volumes"), "slices": _("Slices")}
        starts = {name: words for name, words in STARTS.items() if name != "network"}  # needs a model: read_models
        for name, items in (("start", starts), ("mode", modes), ("device", self._devices.known)):
            for value, words in items.items():
                getattr(self._ui, f"{name}Selector").addItem(words, value)
        self.read_models()

    def read_models(self) -> None:
        """Reads the catalogue's descriptions (small files; no network, no weights)."""
        self._models = models.installed()
        self._listed = None
        offered = self._ui.startSelector.findData("network") >= 0
        if not offered and any(model.locates and model.dimension == 3 for model in self._models):
            self._ui.startSelector.addItem(STARTS["network"], "network")

    def ask_devices(self) -> None:
        """Asks for graphics cards, once, when Advanced is opened: the panel opens at once, and waits for no driver."""
        if self._devices.ask():
            self._panel.deviceTimer.start()

    def list_devices(self) -> None:
        """Takes the answer when it is there; called by the timer."""
        if self._devices.answered():
            self._panel.deviceTimer.stop()
            selector = self._ui.deviceSelector
            for value, words in self._devices.known.items():
                index = selector.findData(value)
                if index < 0:
                    selector.addItem(words, value)
                else:
                    selector.setItemText(index, words)

    def close(self) -> None:
        self._panel.deviceTimer.stop()
        self._devices.close()

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
