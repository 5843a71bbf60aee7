"""ViewSection: the buttons that compare fixed and moving, before and after."""

from __future__ import annotations

from .comparison import MODES, Comparison


class ViewSection:
    """panel: has ui, parameters, scene(), flickerTimer. Buttons are named after the modes."""

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self.comparison: Comparison | None = None
        self._nodes: tuple = ()
        self.buttons = {mode: getattr(self._ui, f"{mode}Button") for mode in MODES}

    def update(self, parameters) -> None:
        """What can be shown with the parameter node's volumes, and which button is pressed."""
        found = () if parameters is None else (
            parameters.fixedVolume, parameters.movingVolume, parameters.shownVolume, parameters.shownTranslated,
            parameters.shownTransform,
        )  # fmt: skip
        if found != self._nodes:
            self.leave()
            self._nodes = found
            ready = bool(found) and all(n is not None and n.GetImageData() is not None for n in found[:2])
            self.comparison = Comparison(self._panel.scene(), *found) if ready else None
        comparison = self.comparison
        for mode, button in self.buttons.items():
            reason = "" if comparison is None else comparison.available(mode)
            button.enabled = comparison is not None and not reason
            button.checked = comparison is not None and comparison.shown and comparison.mode == mode
            if reason:
                button.toolTip = reason
        shown = comparison is not None and comparison.shown
        self._ui.beforeButton.enabled = comparison is not None
        self._ui.afterButton.enabled = comparison is not None and comparison.registered is not None
        self._ui.beforeButton.checked = shown and not comparison.after
        self._ui.afterButton.checked = shown and comparison.after
        self._ui.restoreButton.enabled = shown
        self._ui.blendSlider.enabled = shown and comparison.mode in ("blend", "grid")

    def show(self, mode: str | None = None, after: bool | None = None) -> None:
        if self.comparison is None:
            return
        self.comparison.show(mode, after, self._ui.blendSlider.value)
        if self.comparison.mode == "flicker":
            self._panel.flickerTimer.start()
        else:
            self._panel.flickerTimer.stop()
        self.update(self._panel.parameters)

    def fade(self, opacity: float) -> None:
        if self.comparison is not None:
            self.comparison.fade(opacity)

    def tick(self) -> None:
        if self.comparison is not None:
            self.comparison.tick()

    def leave(self) -> None:
        """The views as they were before the first picture."""
        self._panel.flickerTimer.stop()
        if self.comparison is not None:
            self.comparison.close()
