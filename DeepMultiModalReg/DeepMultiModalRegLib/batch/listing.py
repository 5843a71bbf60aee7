"""Listing: the cases in a CSV file, checked as a whole before the first of them is computed."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import InputError
from .case import INPUTS, Case
from .names import folder_names, shown

REQUIRED = ("fixed", "moving")
COLUMNS = (*INPUTS, "model", "start", "refine", "id")
MOST_BYTES = 50_000_000
LONGEST_PATH = 4096
TOLD = 3  # mistakes named in one sentence


def read_list(path: Path, model: str | None, start: str, start_file: bool, refine: int, names: Iterable[str]):
    """(cases, warnings) of the list in `path`.

    UTF-8 (with or without its mark) or UTF-16 with its mark; separated by commas, semicolons or tabs; the first line
    names the columns: fixed and moving, and if wanted fixed_mask, moving_mask, model, start, refine, id. Relative paths
    count from the list's folder. model, start, refine: for the rows that name none. names: the starts that are no file.
    Raises InputError with the first mistakes and their lines. That a file is missing is not asked here: it is its
    case's failure.
    """
    names = tuple(names)
    rows, warnings = _rows(_text(path), path)
    mistakes: list[str] = []
    found: list[dict] = []
    for line, row in rows:
        problem = _problem(row)
        if problem:
            mistakes.append(f"line {line}: {problem}")
            continue
        own_start = row.get("start", "")
        found.append({
            "files": {role: row[role] for role in INPUTS if row.get(role)}, "model": row.get("model") or model,
            "start": own_start or start, "start_file": own_start not in names if own_start else start_file,
            "refine": int(row["refine"]) if row.get("refine") else refine, "line": line, "id": row.get("id", ""),
        })  # fmt: skip
    for case in found:
        case["id"] = case["id"] or _own_id(case["files"])
    mistakes += _duplicates(found)
    if mistakes:
        more = f"; and {len(mistakes) - TOLD} more" if len(mistakes) > TOLD else ""
        raise InputError(f"The list {path} cannot be used: {'; '.join(mistakes[:TOLD])}{more}. Correct it.")
    if not found:
        raise InputError(f"The list {path} names no case; give at least one line below the columns' names.")
    base = path.absolute().parent
    folders = folder_names([case["id"] for case in found])
    return [Case(folder=folder, base=base, **case) for case, folder in zip(found, folders, strict=True)], warnings


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise InputError(f"The list {path} is a folder; give a CSV file.")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"The list {path} cannot be read ({reason}); check its name and folder.") from error
    if len(raw) > MOST_BYTES:
        raise InputError(f"The list {path} is larger than {MOST_BYTES // 10**6} MB; is it a list of cases? Split it.")
    utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The list {path} is not UTF-8 text; save it as 'CSV UTF-8'.") from error
    if "\0" in text:
        raise InputError(f"The list {path} holds binary data; give a CSV file.")
    return text


def _rows(text: str, path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """[(line, column to cell)] of the rows that are not empty, and warnings."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise InputError(
            f"The list {path} breaks off at line {reader.line_num} ({error}); close the quotes or repair the line."
        ) from error
    if not lines:
        raise InputError(f"The list {path} is empty; its first line must name the columns, fixed and moving at least.")
    columns = [_column(cell) for cell in lines[0][1]]
    warnings = _check_columns(columns, path)
    rows = []
    for line, cells in lines[1:]:
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise InputError(
                f"The list {path} has {len(cells)} cells in line {line} but {len(columns)} columns; put quotes around "
                "cells that hold a separator."
            )
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        rows.append((line, {column: row.get(column, "") for column in COLUMNS if column in columns}))
    return rows, warnings


def _column(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_").replace("-", "_")


def _check_columns(columns: list[str], path: Path) -> list[str]:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise InputError(
            f"The list {path} has no column '{missing[0]}' (its first line reads: {shown(', '.join(columns))}); "
            f"name the columns {' and '.join(REQUIRED)} there, and if wanted {', '.join(COLUMNS[2:])}."
        )
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise InputError(f"The list {path} has the column '{twice[0]}' twice; rename or delete one.")
    other = [name for name in dict.fromkeys(columns) if name and name not in COLUMNS]
    for name in other:  # a mask that is silently left out would be worse than a question
        near = difflib.get_close_matches(name, COLUMNS, 1, 0.8)
        if near:
            raise InputError(
                f"The list {path} has a column '{shown(name)}'; if '{near[0]}' is meant, write so, else rename it."
            )
    return [f"The list's columns {shown(', '.join(other))} are not used."] if other else []


def _problem(row: dict[str, str]) -> str:
    """What is wrong in a row by itself, or ''."""
    for role in REQUIRED:
        if not row[role]:
            return f"no {role} image"
    for column, cell in row.items():
        if column == "id":
            continue
        if any(ord(c) < 32 or ord(c) == 127 for c in cell):
            return f"a line break or control character in '{column}'"
        if len(cell) > LONGEST_PATH:
            return f"{len(cell)} characters in '{column}'"
    refine = row.get("refine", "")
    if refine and not (refine.isascii() and refine.isdigit() and len(refine) < 7):
        return f"refine is '{shown(refine, 20)}', not a whole number of steps"
    return ""


def _own_id(files: dict[str, str]) -> str:
    """For a row without id: its files' names, and a digest of their paths. Not its place: rows may change theirs."""
    stems = [Path(files[role].replace("\\", "/")).name.split(".")[0] or "image" for role in ("moving", "fixed")]
    digest = hashlib.sha256("\n".join(files.get(role, "") for role in INPUTS).encode()).hexdigest()[:8]
    return f"{stems[0]}-on-{stems[1]}.{digest}"


def _duplicates(found: list[dict]) -> list[str]:
    lines = defaultdict(list)
    for case in found:
        lines[case["id"]].append(str(case["line"]))
    return [
        f"lines {', '.join(where)} are one case ('{shown(one, 40)}'): give each an id of its own"
        for one, where in lines.items()
        if len(where) > 1
    ]
