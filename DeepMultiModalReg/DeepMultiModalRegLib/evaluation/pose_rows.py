"""Rows of the poses experiment: written one by one to a CSV file, read again, and summed up."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
from pathlib import Path

COLUMNS = (
    "pose", "pair", "fixed", "moving", "tool", "rotation_deg", "shift_mm", "scale", "before_mm", "error_mm",
    "error_max_mm", "angle_deg", "determinant", "seconds", "cpu_seconds", "version", "note", "error", "found",
)  # fmt: skip
WORDS = {"pair", "fixed", "moving", "tool", "version", "note", "error", "found"}
SURE = 1.959964  # of a standard normal: 95 % lie within


class RowFile:
    """A CSV file that several processes may add rows to: each row is one write at the end of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict]:
        """What is there; a row cut off by a crash is left out. Numbers as numbers, what is missing as None."""
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return [_numbers(row) for row in csv.DictReader(file) if row.get(COLUMNS[-1]) is not None]

    def begin(self) -> None:
        """Writes the columns' names unless the file is there; ends a row that a crash cut off."""
        if not self.path.is_file():
            with contextlib.suppress(FileExistsError), self.path.open("x", encoding="utf-8") as file:
                file.write(",".join(COLUMNS) + "\n")
        elif not self.path.read_bytes().endswith(b"\n"):
            self._append("\n")

    def add(self, row: dict) -> None:
        out = io.StringIO()
        csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="").writerow(row)
        self._append(out.getvalue())

    def _append(self, text: str) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _numbers(row: dict) -> dict:
    return {
        key: value if key in WORDS else None if value == "" else int(value) if key == "pose" else float(value)
        for key, value in row.items()
    }


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share of `hits` in `trials` (Wilson 1927): it holds near 0 and 1 too."""
    if trials == 0:
        return 0.0, 1.0
    share, square = hits / trials, SURE**2 / trials
    middle = (share + square / 2) / (1 + square)
    half = SURE / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def summary(rows: list[dict], within_mm: tuple[float, ...]) -> list[dict]:
    """One row a tool, in the order of their first rows: how many poses it recovered, and how far off it was.

    A tool that failed on a pose did not recover it. within_mm: what counts as recovered, of the mean error.
    """
    found = []
    for tool in dict.fromkeys(row["tool"] for row in rows):
        own = [row for row in rows if row["tool"] == tool]
        good = [row for row in own if row["error_mm"] is not None]
        line: dict = {"tool": tool, "poses": len(own), "failed": len(own) - len(good)}
        for limit in within_mm:
            hits = sum(row["error_mm"] <= limit for row in good)
            line[f"within_{limit:g}"] = hits, *wilson(hits, len(own))
        for key in ("error_mm", "seconds", "cpu_seconds"):
            values = sorted(row[key] for row in good if row[key] is not None)
            line[f"{key}_median"] = _quantile(values, 0.5)
            line[f"{key}_p95"] = _quantile(values, 0.95)
        line["over_45"] = sum(row["angle_deg"] > 45 for row in good)
        line["over_135"] = sum(row["angle_deg"] > 135 for row in good)
        line["mirrored"] = sum(row["determinant"] < 0 for row in good)
        found.append(line)
    return found


def _quantile(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, round(share * (len(values) - 1)))] if values else None


def markdown(lines: list[dict], within_mm: tuple[float, ...]) -> str:
    """`summary` as a table."""
    headings = ["tool", "poses", *(f"within {limit:g} mm (95 % interval)" for limit in within_mm)]
    headings += ["median mm", "95 % mm", "> 45°", "> 135°", "mirrored", "seconds", "CPU s"]
    text = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    for line in lines:
        cells = [line["tool"], str(line["poses"]) + (f" ({line['failed']} failed)" if line["failed"] else "")]
        for limit in within_mm:
            hits, low, high = line[f"within_{limit:g}"]
            cells.append(f"{hits} = {100 * hits / line['poses']:.1f} % ({100 * low:.1f}–{100 * high:.1f})")
        cells += [_cell(line[key]) for key in ("error_mm_median", "error_mm_p95")]
        cells += [str(line[key]) for key in ("over_45", "over_135", "mirrored")]
        cells += [_cell(line[key]) for key in ("seconds_median", "cpu_seconds_median")]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
