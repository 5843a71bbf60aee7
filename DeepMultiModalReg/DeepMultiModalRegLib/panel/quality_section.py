"""QualitySection: figures on the result, the run's report, and the transform for whatever else belongs to it."""

from __future__ import annotations

import html
import json

from . import quality
from .transfer import Transfer, tick, ticked
from .words import PanelError
from .words import tr as _


class QualitySection:
    """panel: has ui, parameters, scene()."""

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self.transfer = Transfer()
        self._measured: list[tuple[str, str]] = []
        self._of = None
        self._ticking = False

    def update(self, parameters) -> None:
        transform = None if parameters is None else parameters.shownTransform
        if transform is not self._of:
            self._of, self._measured = transform, []
        report = quality.report_of(transform)
        self._write(quality.lines_of(report) + self._measured)
        words = json.dumps(report, indent=2, ensure_ascii=False) if report else ""
        if self._ui.reportText.toPlainText() != words:
            self._ui.reportText.setPlainText(words)
        pairs = () if parameters is None else (
            (parameters.fixedSegments, parameters.movingSegments), (parameters.fixedPoints, parameters.movingPoints)
        )  # fmt: skip
        ready = transform is not None and any(a is not None and b is not None for a, b in pairs)
        self._ui.measureButton.enabled = ready
        self._ui.measureButton.toolTip = (
            _("Dice of the segments and distance of the landmarks, before and after.") if ready
            else _("Choose two segmentations or two landmark lists, and apply first.")
        )  # fmt: skip
        self._ui.jacobianButton.enabled = self._ui.transferButton.enabled = transform is not None
        self._ui.transferUndoButton.enabled = self.transfer.can_undo
        self._show_ticks(() if parameters is None else ticked(parameters))

    def store_ticks(self) -> None:
        """Takes over what the user ticked under Transfer."""
        if self._panel.parameters is not None and not self._ticking:
            tick(self._panel.parameters, list(self._ui.transferSelector.checkedNodes()))

    def _show_ticks(self, wanted) -> None:
        selector, self._ticking = self._ui.transferSelector, True
        try:
            now = list(selector.checkedNodes())
            for node in now:
                if node not in wanted:
                    selector.uncheck(node)
            for node in wanted:
                if node not in now:
                    selector.check(node)
        finally:
            self._ticking = False

    def measure(self) -> None:
        """Dice and landmark distances of what is chosen. Raises PanelError with what is wrong."""
        p = self._panel.parameters
        found: list[tuple[str, str]] = []
        if p.fixedSegments is not None and p.movingSegments is not None:
            values = quality.dice(p.fixedSegments, p.movingSegments, p.fixedVolume, p.movingVolume, p.shownTransform)
            for name, (before, after) in values.items():
                words = _("{a:.3f} before, {b:.3f} after").format(a=before, b=after)
                found.append((_("Dice {name}").format(name=name), words))
        if p.fixedPoints is not None and p.movingPoints is not None:
            errors = quality.landmark_errors(p.fixedPoints, p.movingPoints, p.movingVolume, p.shownTransform)
            words = _("{a:.2f} mm before, {b:.2f} mm after on average; {c:.2f} mm at most").format(
                a=errors["before"].mean(), b=errors["after"].mean(), c=errors["after"].max()
            )
            found.append((_("Landmarks (TRE)"), words))
        self._measured = found
        self.update(p)

    def jacobian(self) -> None:
        """The map of volume change, and its range inside the field."""
        p = self._panel.parameters
        if p.shownTransform is None:
            raise PanelError(_("There is no transform yet; apply first."))
        node = quality.jacobian_volume(self._panel.scene(), p.shownTransform, p.fixedVolume)
        low, high = node.GetImageData().GetScalarRange()
        words = _("factor {a:.2f} to {b:.2f}, see '{name}'").format(a=low, b=high, name=node.GetName())
        line = (_("Volume change"), words)
        self._measured = [entry for entry in self._measured if entry[0] != line[0]] + [line]
        self.update(p)

    def apply_transfer(self) -> None:
        p = self._panel.parameters
        words = self.transfer.apply(
            list(self._ui.transferSelector.checkedNodes()), p.shownTransform, p.fixedVolume, p.movingVolume
        )
        self._ui.transferStatus.text = words
        self.update(p)

    def undo_transfer(self) -> None:
        self.transfer.undo()
        self._ui.transferStatus.text = ""
        self.update(self._panel.parameters)

    def _write(self, lines: list[tuple[str, str]]) -> None:
        if not lines:
            self._ui.qualityLabel.text = _("Apply first: then this says how well both volumes agree.")
            return
        self._ui.qualityLabel.text = "<br>".join(f"<b>{html.escape(a)}:</b> {html.escape(b)}" for a, b in lines)
