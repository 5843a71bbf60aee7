"""Table: rows as CSV, JSON and Markdown, and their means over groups of cases."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from ..io import write_json, write_text

COLUMNS = {  # key in a row: (heading, digits after the point)
    "dice": ("Dice", 3),
    "hd95": ("HD95 mm", 2),
    "error_mean_mm": ("error mm", 2),
    "error_p95_mm": ("95 % mm", 2),
    "error_max_mm": ("max mm", 1),
    "landmark_mean_mm": ("TRE mm", 2),
    "mse_percent": ("MSE %", 3),
    "psnr": ("PSNR dB", 2),
    "ssim": ("SSIM", 3),
    "folds": ("folds %", 4),
    "log_jacobian_sd": ("sd log J", 3),
    "nmi_before": ("NMI before", 3),
    "nmi_after": ("NMI after", 3),
    "round_trip_mean_mm": ("round trip mm", 3),
    "seconds": ("seconds", 3),
    "peak_mb": ("peak MB", 0),
}


def columns_of(rows: list[dict]) -> dict[str, tuple[str, int]]:
    """The columns that any row has a number for, in order; one Dice and HD95 for each set of labels."""
    keys: dict[str, tuple[str, int]] = {}
    present = {key for row in rows for key, value in row.items() if _is_number(value)}
    for key, (heading, digits) in COLUMNS.items():
        if key in present:
            keys[key] = (heading, digits)
        for found in sorted(k for k in present if key in ("dice", "hd95") and k.startswith(f"{key}_")):
            label_set = found.removeprefix(f"{key}_").removesuffix("_mm")
            keys[found] = (f"{heading} ({label_set})", digits)
    return keys


def means(rows: list[dict]) -> list[dict]:
    """One row per group and method: the mean over the group's cases, how many there are, and what went wrong."""
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        found.setdefault((row["group"], row["method"]), []).append(row)
    columns = columns_of(rows)
    result = []
    for (group, method), members in found.items():
        good = [row for row in members if "error" not in row]
        mean: dict = {"group": group, "method": method, "cases": len(good)}
        for key in columns:
            values = [row[key] for row in good if _is_number(row.get(key))]
            if values:
                mean[key] = sum(values) / len(values)
        errors = [row["error"] for row in members if "error" in row]
        if errors:
            mean["error"] = errors[0] if len(good) == 0 else f"{len(errors)} of {len(members)} failed: {errors[0]}"
        result.append(mean)
    return result


def markdown(rows: list[dict], lead: tuple[str, ...]) -> str:
    """A table in Markdown; `lead`: the keys of its first columns."""
    columns = columns_of(rows)
    lines = [
        "| " + " | ".join([*lead, *(heading for heading, _ in columns.values())]) + " |",
        "|" + "---|" * len(lead) + "---:|" * len(columns),
    ]
    for row in rows:
        cells = [str(row.get(key, "")) for key in lead]
        cells += [_cell(row.get(key), digits) for key, (_, digits) in columns.items()]
        if "error" in row:
            cells[len(lead) - 1] += f" ({row['error']})"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def grouped(rows: list[dict]) -> str:
    """The means in Markdown, one table a group: groups measure different things."""
    parts = []
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group]
        count = max(row["cases"] for row in means(own))
        parts.append(f"### {group} ({count} case{'s' * (count != 1)})\n\n" + markdown(means(own), ("method",)))
    return "\n".join(parts)


def by_case(rows: list[dict]) -> str:
    """Every row in Markdown, one table a group."""
    groups = dict.fromkeys(row["group"] for row in rows)
    parts = [markdown([row for row in rows if row["group"] == group], ("case", "method")) for group in groups]
    return "\n".join(parts)


def write_csv(rows: list[dict], path: Path) -> None:
    """Every row, numbers in full; the labels' own figures are in the JSON."""
    keys = ["group", "case", "method", *columns_of(rows), "version", "error"]
    out = io.StringIO()
    writer = csv.DictWriter(out, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out.getvalue(), path)


def write_rows(rows: list[dict], about: dict, path: Path) -> None:
    """Rows, means and what they were made with, as JSON; numbers that are not finite become null."""
    content = {"about": about, "means": means(rows), "rows": rows}
    write_json(_plain(content), path)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value, digits: int) -> str:
    if not _is_number(value) or math.isnan(value):
        return "–"
    return f"{value:.{digits}f}"
