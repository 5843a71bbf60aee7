"""Folder: where a batch's results lie. A case's folder appears whole: filled under a hidden name, then renamed.

    DIR/ID/transform.h5 warped.nrrd [inverse.h5 translated.nrrd] before.jpg after.jpg report.json
    DIR/summary.csv index.html batch.json
    DIR/log/    whatever differs from run to run: seconds, memory, dates, what the workers printed
Everything but log/ is the same, byte for byte, whenever and in however many goes it was computed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from .. import __version__
from ..core.errors import InputError
from ..io.atomic import write_json
from .case import Case, Settings
from .lock import NAME as LOCK
from .lock import Lock

REPORT = "report.json"
MARK = "batch.json"
LOG = "log"
PART, OLD = ".part-", ".old-"
_OURS = (PART, OLD, f".{MARK}-", ".summary.csv-", ".index.html-")  # what a killed batch may leave half-done


class BatchFolder:
    """Held by one batch from `open` to `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock: Lock | None = None

    def open(self, resume: bool, settings: Settings, cases: list[Case]) -> None:
        """Makes or takes over the folder, and takes away what a killed batch left half-done.

        Raises InputError: not a folder, not writable, in use by another batch, or used before and not `resume`.
        """
        for case in cases:
            for role in case.roles():
                if self._within(case.path(role)):
                    raise InputError(
                        f"The {role} of case '{case.id}' lies in the output folder {self.path}; choose another --out: "
                        "a case must not depend on what the batch writes."
                    )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder {self.path} cannot be made ({error.strerror}); choose another by --out."
            ) from error
        self.lock = Lock(self.path)
        try:
            self._take_over(resume)
            write_json({"command": "batch", "version": __version__, **settings.as_dict()}, self.path / MARK)
            (self.path / LOG).mkdir(exist_ok=True)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise

    def close(self) -> None:
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    @property
    def log(self) -> Path:
        return self.path / LOG

    def place(self, case: Case) -> Path:
        return self.path / case.folder

    def staged(self, case: Case) -> Path:
        return self.path / f"{PART}{case.folder}"

    def staging(self, case: Case) -> Path:
        """A new, empty folder for the case's files. Raises InputError where it cannot be made."""
        folder = self.staged(case)
        try:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
        except OSError as error:
            raise self._unwritable(error) from error
        return folder

    def drop(self, case: Case) -> None:
        shutil.rmtree(self.staged(case), ignore_errors=True)

    def publish(self, case: Case) -> None:
        """The staged files become the case's; what was there before goes."""
        place, old = self.place(case), self.path / f"{OLD}{case.folder}"
        try:
            if os.path.lexists(place):
                os.rename(place, old)
            os.rename(self.staged(case), place)
        except OSError as error:
            raise self._unwritable(error) from error
        shutil.rmtree(old, ignore_errors=True)

    def fail(self, case: Case, asked: dict, code: int, sentence: str) -> dict:
        """Records that the case failed; returns its report."""
        report = {"id": case.id, "state": "failed", "code": code, "sentence": sentence, "asked": asked}
        write_json(report, self.staging(case) / REPORT)
        self.publish(case)
        return report

    def report(self, case: Case) -> dict | None:
        """The case's report, or None where there is none that can be read."""
        try:
            report = json.loads((self.place(case) / REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return report if isinstance(report, dict) and report.get("id") == case.id else None

    def finished(self, case: Case, asked: dict) -> dict | None:
        """The report, if the case was computed from just this and all its files are there in their size."""
        report = self.report(case)
        if report is None or report.get("state") != "done" or report.get("asked") != asked:
            return None
        with contextlib.suppress(OSError, AttributeError, TypeError, KeyError):
            if all((self.place(case) / name).stat().st_size == told["bytes"] for name, told in report["files"].items()):
                return report
        return None

    def strangers(self, cases: list[Case]) -> list[str]:
        """Folders of cases that are not in the list, of an earlier one: they stay, and are not in the summary."""
        known = {case.folder for case in cases}
        return sorted(p.parent.name for p in self.path.glob(f"*/{REPORT}") if p.parent.name not in known)

    def _take_over(self, resume: bool) -> None:
        there = [p for p in self.path.iterdir() if p.name != LOCK]
        own = [p for p in there if p.name.startswith(_OURS)]
        marked = (self.path / MARK).is_file()
        if not marked and len(there) > len(own):
            raise InputError(
                f"The folder {self.path} holds other files and no batch's results; choose an empty or new one by --out."
            )
        if marked and not resume:
            raise InputError(
                f"The folder {self.path} holds a batch's results already; go on with it by --resume, or choose "
                "another by --out."
            )
        for leftover in own:
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()

    def _within(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self.path.resolve())
        except (OSError, ValueError, RuntimeError):  # a path that cannot be: its case will say so
            return False

    def _unwritable(self, error: OSError) -> InputError:
        reason = error.strerror or str(error)
        return InputError(f"The folder {self.path} cannot be written ({reason}); free the place, then --resume.")
