"""Table: rows as CSV, JSON and Markdown, and their means over groups of cases."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from ..io import write_json, write_text

SETS = ("dice", "hd95", "lost")  # of these there is one for each set of labels
QUALITY = {  # key in a row: (heading, digits after the point)
    "dice": ("Dice", 3),
    "hd95": ("HD95 mm", 2),
    "lost": ("labels lost", 1),
    "error_mean_mm": ("error mm", 2),
    "error_p95_mm": ("95 % mm", 2),
    "error_max_mm": ("max mm", 1),
    "error_plane_mm": ("in the planes mm", 2),
    "error_across_mm": ("across mm", 2),
    "found_mean_mm": ("error from found mm", 2),
    "found_plane_mm": ("its part in the planes mm", 2),
    "found_across_mm": ("across them mm", 2),
    "recovered_mean_mm": ("known warp recovered to mm", 2),
    "recovered_plane_mm": ("in the planes, recovered mm", 2),
    "recovered_across_mm": ("across, recovered mm", 2),
    "landmark_mean_mm": ("TRE mm", 2),
    "landmark_p95_mm": ("TRE 95 % mm", 2),
    "mse_percent": ("MSE %", 3),
    "psnr": ("PSNR dB", 2),
    "ssim": ("SSIM", 3),
    "edges_mm": ("edges mm", 2),
    "commutation": ("commutation", 4),
    "folds": ("folds %", 4),
    "log_jacobian_sd": ("sd log J", 3),
    "nmi_before": ("NMI before", 3),
    "nmi_after": ("NMI after", 3),
    "round_trip_mean_mm": ("round trip mm", 3),
    "warped_disagreement": ("warped off", 6),
}
COST = {
    "seconds": ("seconds", 3),
    "cpu_seconds": ("CPU s", 2),
    "startup_seconds": ("start-up s", 2),
    "peak_mb": ("peak MB", 0),
    "device_mb": ("device MB", 0),
}
STEP = "step_"


def columns_of(rows: list[dict], among: dict[str, tuple[str, int]] | None = None) -> dict[str, tuple[str, int]]:
    """The columns that any row has a number for, in order; one Dice and HD95 for each set of labels."""
    keys: dict[str, tuple[str, int]] = {}
    present = {key for row in rows for key, value in row.items() if _is_number(value)}
    for key, (heading, digits) in (QUALITY | COST if among is None else among).items():
        if key in present:
            keys[key] = (heading, digits)
        for found in sorted(k for k in present if key in SETS and k.startswith(f"{key}_")):
            label_set = found.removeprefix(f"{key}_").removesuffix("_mm")
            keys[found] = (f"{heading} ({label_set})", digits)
    return keys


def steps_of(rows: list[dict]) -> dict[str, tuple[str, int]]:
    """The columns of seconds per step, in the order in which steps were made."""
    found = dict.fromkeys(key for row in rows for key in row if key.startswith(STEP))
    return {key: (f"{key.removeprefix(STEP)} s", 2) for key in found}


def means(rows: list[dict]) -> list[dict]:
    """One row per group and method: the mean over the group's cases, how many there are, and what went wrong."""
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        found.setdefault((row["group"], row["method"]), []).append(row)
    columns = columns_of(rows) | steps_of(rows)
    result = []
    for (group, method), members in found.items():
        good = [row for row in members if "error" not in row]
        mean: dict = {"group": group, "method": method, "cases": len(good)}
        mean |= {key: members[0][key] for key in ("kind", "model") if key in members[0]}
        for key in columns:
            values = [row[key] for row in good if _is_number(row.get(key))]
            if values:
                mean[key] = sum(values) / len(values)
        errors = [row["error"] for row in members if "error" in row]
        if errors:
            mean["error"] = errors[0] if len(good) == 0 else f"{len(errors)} of {len(members)} failed: {errors[0]}"
        result.append(mean)
    return result


def markdown(rows: list[dict], lead: tuple[str, ...], columns: dict[str, tuple[str, int]] | None = None) -> str:
    """A table in Markdown; `lead`: the keys of its first columns; `columns`: default all that there are numbers for."""
    columns = columns_of(rows) if columns is None else columns
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
    """The means in Markdown, two tables a group, of quality and of cost: groups measure different things."""
    parts = []
    for group in dict.fromkeys(row["group"] for row in rows):
        own = means([row for row in rows if row["group"] == group])
        count = max(row["cases"] for row in own)
        brief = columns_of(own, QUALITY | {"seconds": COST["seconds"]})
        parts.append(f"### {group} ({count} case{'s' * (count != 1)})\n\n" + markdown(own, ("method",), brief))
        timed = [row for row in own if row.get("kind") != "start" and "seconds" in row]
        if timed:
            parts.append(markdown(timed, ("method",), columns_of(timed, COST) | steps_of(timed)))
    return "\n".join(parts)


def by_case(rows: list[dict]) -> str:
    """Every row in Markdown, one table a group."""
    parts = []
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group]
        parts.append(f"### {group}\n\n" + markdown(own, ("case", "method")))
    return "\n".join(parts)


def write_csv(rows: list[dict], path: Path) -> None:
    """Every row, numbers in full; the labels' own figures are in `write_labels`."""
    keys = ["group", "case", "method", "kind", *columns_of(rows), *steps_of(rows), "version", "error"]
    _write(keys, rows, path)


def write_labels(rows: list[dict], path: Path) -> None:
    """Dice and HD95 of each label: a line for each case, method, set and label. HD95 of a label that the transform has
    moved out of sight is inf; an empty cell was not measured."""
    lines = []
    for row in rows:
        for key in (k for k in row if k.startswith("dice_") and k.endswith("_each")):
            label_set = key.removeprefix("dice_").removesuffix("_each")
            distances = row.get(f"hd95_{label_set}_each", {})
            for label in sorted(row[key], key=int):
                line = {key: row[key] for key in ("group", "case", "method")} | {"set": label_set, "label": label}
                lines.append(line | {"dice": row[key][label], "hd95_mm": distances.get(label, "")})
    _write(["group", "case", "method", "set", "label", "dice", "hd95_mm"], lines, path)


def _write(keys: list[str], rows: list[dict], path: Path) -> None:
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
