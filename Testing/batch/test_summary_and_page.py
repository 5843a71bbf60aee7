"""Table and page: the doubtful cases come first, whatever the order of the list; nothing hostile is executed."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from DeepMultiModalRegLib.batch.case import Case
from DeepMultiModalRegLib.batch.names import folder_names
from DeepMultiModalRegLib.batch.page import page
from DeepMultiModalRegLib.batch.summary import as_csv, rows


def case(name: str) -> Case:
    return Case(name, folder_names([name])[0], {"fixed": "f", "moving": "m"}, Path("."))


def done(gain: float, folds: float = 0.0, *warnings: str) -> dict:
    return {
        "state": "done", "code": 0, "similarity": {"before": 1.1, "start": 1.12, "after": 1.1 + gain},
        "folds_percent": folds, "warnings": list(warnings), "model": {"name": "some-model"},
        "displacement_mm": {"mean": 1.0, "max": 4.0}, "inverse_round_trip_mm": {"mean": 0.01, "max": 0.2},
    }  # fmt: skip


REPORTS = {
    "good": done(0.2), "better": done(0.3), "fell": done(-0.01), "fell-much": done(-0.2), "folded": done(0.1, 0.5),
    "warned": done(0.1, 0.0, "The <b>field</b> is odd."), "few-folds": done(0.25, 0.05),
    "broken": {"state": "failed", "code": 2, "sentence": "The fixed image f does not exist; check."},
    "waiting": None,
}  # fmt: skip
ORDER = ["broken", "fell-much", "fell", "folded", "warned", "waiting", "good", "few-folds", "better"]


@pytest.mark.parametrize("names", [list(REPORTS), list(REPORTS)[::-1]], ids=["forth", "back"])
def test_the_doubtful_come_first_in_any_order_of_the_list(names):
    table = rows([case(name) for name in names], REPORTS)
    assert [row["id"] for row in table] == ORDER


def test_the_table_says_what_came_out():
    text = as_csv(rows([case(name) for name in REPORTS], REPORTS))
    read = {row["id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert read["fell"]["kind"] == "fell" and float(read["fell"]["gain"]) == pytest.approx(-0.01)
    assert read["folded"]["folds_percent"] == "0.5" and read["folded"]["inverse_round_trip_mm"] == "0.2"
    assert read["broken"]["code"] == "2" and "does not exist" in read["broken"]["sentence"]
    assert read["warned"]["warnings"] == "The <b>field</b> is odd." and read["waiting"]["kind"] == "open"


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-2", "@x"])
def test_no_cell_is_a_formula_for_a_spreadsheet(name):
    read = list(csv.DictReader(io.StringIO(as_csv(rows([case(name)], {})))))
    assert read[0]["id"] == "'" + name


def test_the_page_holds_every_case_and_its_pictures_in_one_file(tmp_path):
    cases = [case(name) for name in REPORTS]
    for name in ("good", "fell"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "before.jpg").write_bytes(b"\xff\xd8before")
        (tmp_path / name / "after.jpg").write_bytes(b"\xff\xd8after")
    text = page(rows(cases, REPORTS), tmp_path, "A batch")
    positions = [text.index(f">{name}</a>") for name in ORDER]
    assert positions == sorted(positions)
    assert text.count("data:image/jpeg;base64,") == 4
    assert "1 failed, 2 similarity fell, 1 folds, 1 warning" in text
    assert not re.search(r"(src|href)='(https?:)?//", text)  # nothing comes from elsewhere
    assert "&lt;b&gt;field" in text and "<b>field" not in text


def test_of_very_many_cases_the_pictures_are_linked(tmp_path, monkeypatch):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "after.jpg").write_bytes(b"x")
    monkeypatch.setattr("DeepMultiModalRegLib.batch.page.INLINE", 1)
    text = page(rows([case("good"), case("fell")], REPORTS), tmp_path, "A batch")
    assert "data:" not in text and text.count("src='good/after.jpg'") == 1 and "before.jpg" not in text


def test_hostile_names_are_text_and_links_stay_inside():
    name = "<script>alert('1')</script>/../../x"
    text = page(rows([case(name)], {}), Path("."), "A batch")
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert re.fullmatch(r"[A-Za-z0-9._-]+/", re.search(r"<h2><a href='([^']*)'", text).group(1))
