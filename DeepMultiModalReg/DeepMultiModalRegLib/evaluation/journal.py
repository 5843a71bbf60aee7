"""Journal: rows as they come, one line of JSON each, so that a long run can be interrupted and gone on with."""

from __future__ import annotations

import json
from pathlib import Path


class Journal:
    """A file of rows, each with what decided its figures. Rows that failed are not gone on with."""

    def __init__(self, path: Path, resume: bool) -> None:
        """Without `resume` the file begins anew. A last line that was cut off is dropped."""
        self.path = path
        self._entries: dict[tuple[str, str], dict] = {}
        if resume and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                self._entries[entry["row"]["case"], entry["row"]["method"]] = entry
        lines = [json.dumps(entry) + "\n" for entry in self._entries.values()]
        path.write_text("".join(lines), encoding="utf-8")

    def kept(self, case: str, method: str, made_with: dict) -> dict | None:
        """The row of an earlier run, if it was made with just the same and did not fail."""
        entry = self._entries.get((case, method))
        same = entry is not None and entry["made_with"] == json.loads(json.dumps(made_with))
        return entry["row"] if same and "error" not in entry["row"] else None

    def add(self, row: dict, made_with: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"made_with": made_with, "row": row}) + "\n")
