"""Log: what differs from run to run, apart from the results: when, how long, how much memory.

log/cases.jsonl has one line a case that ended, over all runs; log/times.csv the last one of each; log/times.js the same
for the page, which shows seconds when it finds them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

from ..io.atomic import write_text
from .case import Case


class Log:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: dict[str, dict] = {}  # folder's name of a case to its last line
        with contextlib.suppress(OSError):
            for line in (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line may have been cut off
                    entry = json.loads(line)
                    self._last[entry["folder"]] = entry

    def add(self, case: Case, state: str, facts: dict) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"ended": now, "id": case.id, "folder": case.folder, "state": state, **facts}
        self._last[case.folder] = entry
        with (self._folder / "cases.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def seconds(self, case: Case) -> float | None:
        """What the case took when it was last computed."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return float(self._last[case.folder]["seconds"]["total"])
        return None

    def write(self, cases: list[Case]) -> None:
        """times.csv and times.js."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["folder", "ended", "state", "seconds", "peak_memory_mb"])
        for case in cases:
            entry = self._last.get(case.folder, {})
            memory = (entry.get("peak_memory_mb") or {}).get("process", "")
            table.writerow([case.folder, entry.get("ended", ""), entry.get("state", ""), self.seconds(case), memory])
        write_text(text.getvalue(), self._folder / "times.csv")
        times = {case.folder: seconds for case in cases if (seconds := self.seconds(case)) is not None}
        write_text(f"window.seconds = {json.dumps(times)};\n", self._folder / "times.js")
