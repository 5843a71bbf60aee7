"""Overview: every method in one line, of volumes and of slices, without and with refinement, with time and memory."""

from __future__ import annotations

import re

KINDS = ("peer", "model", "refined")
HEADINGS = ("method", "cases", "Dice", "refined", "error mm", "refined", "seconds", "refined", "CPU s", "refined")
HEADINGS += ("peak MB", "refined")
TITLES = {3: "Volumes", 2: "Slices (2D models)"}


def overview(rows: list[dict]) -> str:
    """Markdown: a table of the volumes' cases and one of the slices'. Dice: the mean over a case's label sets, then
    over the cases that have any; error over those whose truth is known; seconds, CPU seconds: the mean; peak: the
    largest. A method that some case of the table lacks is left out: its means would be of other cases. Empty where
    neither a peer nor a model has a row."""
    parts = []
    for dimension, title in TITLES.items():
        own = [row for row in rows if row.get("dimension") == dimension and row.get("kind") in KINDS]
        if own:
            parts.append(f"### {title}\n\n" + _table(own))
    return "\n".join(parts)


def _table(rows: list[dict]) -> str:
    cases = {row["case"] for row in rows}
    found: dict[str, dict[str, list[dict]]] = {}
    for row in rows:
        if "error" not in row:
            both = found.setdefault(row["model"] or row["method"], {"": [], "refined": []})
            both["refined" if row["kind"] == "refined" else ""].append(row)
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    left_out = []
    for method, both in found.items():
        whole = {key: own if {row["case"] for row in own} == cases else [] for key, own in both.items()}
        if not whole[""] and not whole["refined"]:
            left_out.append(method)
            continue
        cells = [method, str(len(cases))]
        for figure, digits in ((_dice, 3), (_error, 2), (_mean_of("seconds"), 2), (_mean_of("cpu_seconds"), 2)):
            cells += [_cell(figure(whole[key]), digits) for key in ("", "refined")]
        cells += [_cell(_largest(whole[key]), 0) for key in ("", "refined")]
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    return text + (f"\nNot on every case: {', '.join(left_out)}.\n" if left_out else "")


def _dice(rows: list[dict]) -> float | None:
    return _mean(_mean(v for k, v in row.items() if re.fullmatch(r"dice_.+(?<!_each)", k)) for row in rows)


def _error(rows: list[dict]) -> float | None:
    return _mean(row.get("error_mean_mm") for row in rows)


def _mean_of(key: str):
    return lambda rows: _mean(row.get(key) for row in rows)


def _largest(rows: list[dict]) -> float | None:
    return max((row["peak_mb"] for row in rows if row.get("peak_mb") is not None), default=None)


def _mean(values) -> float | None:
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
