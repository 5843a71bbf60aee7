"""Summary: a line for each case, the doubtful ones first."""

from __future__ import annotations

import csv
import io

from .case import Case

FOLDS_PERCENT = 0.1  # more are worth a look
# from the worst: what a case is listed under, and in words
KINDS = {
    "failed": "failed",
    "fell": "similarity fell",
    "folds": "folds",
    "warning": "warning",
    "open": "not computed",
    "fine": "nothing conspicuous",
}
COLUMNS = (
    "id", "folder", "kind", "code", "sentence", "model", "similarity_before", "similarity_start", "similarity_after",
    "gain", "folds_percent", "displacement_mean_mm", "displacement_max_mm", "inverse_round_trip_mm", "warnings",
)  # fmt: skip


def rows(cases: list[Case], reports: dict[str, dict | None]) -> list[dict]:
    """One a case, the doubtful ones first: by kind, then by what the similarity gained; the order of the list plays no
    part. reports: folder to report, None or absent where a case was not computed."""
    every = [_row(case, reports.get(case.folder)) for case in cases]
    place = {kind: n for n, kind in enumerate(KINDS)}
    return sorted(every, key=lambda row: (place[row["kind"]], row["gain"] if row["gain"] != "" else 0.0, row["id"]))


def as_csv(table: list[dict]) -> str:
    """The rows as CSV, for a spreadsheet too: no cell is taken for a formula there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in table:
        writer.writerow([_cell(row[column]) for column in COLUMNS])
    return text.getvalue()


def _row(case: Case, report: dict | None) -> dict:
    row = dict.fromkeys(COLUMNS, "") | {"id": case.id, "folder": case.folder, "warnings": []}
    if report is None:
        return row | {"kind": "open"}
    row |= {"code": report.get("code", "")}
    if report.get("state") != "done":
        return row | {"kind": "failed", "sentence": report.get("sentence", "")}
    similarity, moved = report["similarity"], report.get("displacement_mm") or {}
    gain = similarity["after"] - similarity["before"]
    row |= {
        "model": report["model"]["name"], "similarity_before": similarity["before"],
        "similarity_start": similarity.get("start", ""), "similarity_after": similarity["after"],
        "gain": gain, "folds_percent": report["folds_percent"], "displacement_mean_mm": moved.get("mean", ""),
        "displacement_max_mm": moved.get("max", ""), "warnings": report["warnings"],
        "inverse_round_trip_mm": _flat(report.get("inverse_round_trip_mm")),
    }  # fmt: skip
    if gain < 0:
        kind = "fell"
    elif row["folds_percent"] > FOLDS_PERCENT:
        kind = "folds"
    else:
        kind = "warning" if row["warnings"] else "fine"
    return row | {"kind": kind}


def _flat(value) -> object:
    """A number as it is; of several, the largest."""
    if isinstance(value, dict):
        value = max((v for v in value.values() if isinstance(v, int | float)), default="")
    return "" if value is None else value


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = " | ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
