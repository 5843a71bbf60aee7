"""RunSection: Apply, progress, Cancel, the log; the installation of what is missing."""

from __future__ import annotations

from . import packages
from .steps import in_words
from .words import tr as _


class RunSection:
    """panel: has ui, logic, parameters, timer (an object with start and stop), onDone(outcome), showError(error)."""

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self.registration = None
        self._ui.progressBar.setVisible(False)

    @property
    def running(self) -> bool:
        return self.registration is not None and not self.registration.finished

    def update(self, parameters) -> None:
        """The buttons, the words on them, the line of the installation."""
        absent = packages.missing()
        self._ui.setupLabel.text = packages.status()
        self._ui.installButton.setVisible(bool(absent))
        missing = "" if parameters is None else self._panel.logic.whatIsMissing(
            parameters.fixedVolume, parameters.movingVolume
        )  # fmt: skip
        self._ui.applyButton.enabled = parameters is not None and not missing and not self.running
        short = missing.split(":")[0].rstrip(".") if missing else _("Apply")
        self._ui.applyButton.text = _("Registering…") if self.running else short
        self._ui.applyButton.toolTip = missing or _("Register the moving volume onto the fixed volume.")
        self._ui.cancelButton.enabled = self.running
        for name in ("inputs", "method", "outputs", "advanced"):
            getattr(self._ui, f"{name}CollapsibleButton").enabled = not self.running

    def start(self) -> None:
        """Begins a run with the parameter node's settings; its timer carries it on."""
        if self.running:
            return
        self._ui.statusLabel.text = ""
        self.registration = self._panel.logic.startProcess(**self._panel.settings())
        self._ui.progressBar.setVisible(True)
        self._ui.logText.setPlainText("")
        self.advance()
        self._panel.timer.start()

    def advance(self) -> None:
        """One slice of the run; called by the timer."""
        run = self.registration
        if run is None:
            self._panel.timer.stop()
            return
        run.advance()
        self._show(run)
        if run.finished:
            self._finish(run)

    def cancel(self) -> None:
        """Ends a run that is under way; the scene is as it was."""
        if self.running:
            self.registration.cancel()
            self._finish(self.registration)

    def install(self, slicer_module, ask) -> None:
        """One installation, after a yes. Raises PanelError where it does not succeed."""
        if not packages.missing() or not ask(packages.question()):
            return
        packages.install(slicer_module)

    def _show(self, run) -> None:
        bar, left = self._ui.progressBar, run.remaining.words(run.fraction)
        bar.setValue(round(1000 * run.fraction))
        step = in_words(run.step)
        bar.setFormat(f"{step} – {left}" if left else step)
        log = run.log
        if log != self._ui.logText.toPlainText():
            self._ui.logText.setPlainText(log)

    def _finish(self, run) -> None:
        self._panel.timer.stop()
        self._ui.progressBar.setVisible(False)
        self._ui.logText.setPlainText(run.log)
        kept = _(" The temporary files are in {folder}.").format(folder=run.job.folder) if run.job.keep else ""
        if run.error is None:
            self._panel.onDone(run.outcome)
            self._ui.statusLabel.text = said(run.outcome) + kept
        elif run.cancelled:
            self._ui.statusLabel.text = str(run.error) + kept
        else:
            self._ui.statusLabel.text = str(run.error) + kept
            self._panel.showError(run.error)
        self._panel.refresh()


def said(outcome) -> str:
    """What came out, in one sentence."""
    words = _("Done: transform '{name}'").format(name=outcome.transformNode.GetName())
    if outcome.volumeNode is not None:
        words += _(" and registered volume '{name}'").format(name=outcome.volumeNode.GetName())
    return words + _(". Compare before and after below.")
