"""Tables: means over a group, missing figures, rows that failed."""

from __future__ import annotations

import csv
import json
import math

import pytest

from DeepMultiModalRegLib.evaluation import table

SPENT = {"cpu_seconds": 6.0, "step_network": 1.25}
ROWS = [
    {"group": "g", "case": "a", "method": "m", "dice_x": 0.5, "hd95_x_mm": 2.0, "folds": 0.0, "seconds": 1.0},
    {"group": "g", "case": "b", "method": "m", "dice_x": 0.7, "hd95_x_mm": 4.0, "folds": 0.2, "seconds": 3.0, **SPENT},
    {"group": "g", "case": "a", "method": "n", "error": "It failed."},
    {"group": "g", "case": "b", "method": "n", "dice_x": 0.9, "folds": 0.0, "seconds": 2.0, "dice_x_each": {1: 0.9}},
    {"group": "h", "case": "c", "method": "m", "error_mean_mm": 1.25, "folds": 0.0, "seconds": 1.0, "peak_mb": None},
]


def test_means_are_over_the_cases_of_a_group_that_worked():
    found = {(row["group"], row["method"]): row for row in table.means(ROWS)}
    assert found["g", "m"]["dice_x"] == pytest.approx(0.6)
    assert found["g", "m"]["hd95_x_mm"] == pytest.approx(3.0)
    assert found["g", "n"]["cases"] == 1 and "1 of 2 failed: It failed." in found["g", "n"]["error"]
    assert found["h", "m"]["error_mean_mm"] == 1.25


def test_the_markdown_of_a_group_has_its_own_columns_and_dashes_where_there_is_no_figure():
    text = table.grouped(ROWS)
    first, second = text.split("### h")
    assert "Dice (x)" in first and "error mm" not in first
    assert "error mm" in second and "Dice" not in second
    assert "| m | 0.600 | 3.00 | 0.1000 | 2.000 |" in first and "| m | 2.000 | 6.00 | 1.25 |" in first
    assert "| method | seconds | CPU s | network s |" in first
    assert "–" in first


def test_csv_and_json_hold_every_row_in_full(tmp_path):
    table.write_csv(ROWS, tmp_path / "t.csv")
    with open(tmp_path / "t.csv") as file:
        back = list(csv.DictReader(file))
    assert [row["case"] for row in back] == ["a", "b", "a", "b", "c"]
    assert float(back[1]["dice_x"]) == 0.7 and back[2]["error"] == "It failed."
    table.write_rows(
        [*ROWS, {"group": "g", "case": "z", "method": "m", "far": math.inf}], {"command": "c"}, tmp_path / "t.json"
    )
    content = json.loads((tmp_path / "t.json").read_text())
    assert content["about"] == {"command": "c"} and content["rows"][3]["dice_x_each"] == {"1": 0.9}
    assert content["rows"][-1]["far"] is None  # JSON has no infinity


def test_every_label_has_a_line_of_its_own(tmp_path):
    each = {"dice_x_each": {10: 0.5, 9: 0.75}, "hd95_x_each": {10: math.inf, 9: 1.5}, "dice_y_each": {"1": 0.25}}
    table.write_labels([{"group": "g", "case": "a", "method": "m", **each}, ROWS[2]], tmp_path / "labels.csv")
    with open(tmp_path / "labels.csv") as file:
        lines = [tuple(line.values())[2:] for line in csv.DictReader(file)]
    assert lines == [("m", "x", "9", "0.75", "1.5"), ("m", "x", "10", "0.5", "inf"), ("m", "y", "1", "0.25", "")]
