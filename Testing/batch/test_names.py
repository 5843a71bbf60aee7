"""Folder names: hostile ids stay inside the batch's folder and apart from each other."""

from __future__ import annotations

import re

import pytest

from DeepMultiModalRegLib.batch.names import folder_names, shown

HOSTILE = [
    "../../etc/passwd", "/absolute", "C:\\Windows", "..", ".", "...", "", " ", "con", "NUL.txt", "aux", "com1", "log",
    "index.html", "summary.csv", "batch.json", ".lock", ".part-x", "a\nb", "a\0b", "a/b", "a\\b", "tab\tid", "Müller",
    "患者01", "مريض", "🙂", "x" * 5000, "trailing.", "trailing ", "-rf", "$(reboot)", "`id`", "a;b", "<script>", "CON",
    "e\u0301", "\u202egpj", "~", "*?", "a-12345678",
]  # fmt: skip


@pytest.mark.parametrize("one", HOSTILE, ids=ascii)
def test_a_hostile_id_becomes_a_plain_folder_name(one):
    (name,) = folder_names([one])
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", name) and len(name) <= 75, name
    assert name.split(".")[0].lower() not in {"con", "nul", "aux", "com1", "log", "index", "summary", "batch"}


def test_all_hostile_ids_get_folders_of_their_own_even_where_capitals_do_not_count():
    names = folder_names(HOSTILE)
    assert len({name.lower() for name in names}) == len(HOSTILE)


def test_a_plain_id_stays_as_it_is():
    assert folder_names(["p01", "sub-02_ses-1", "Case.3"]) == ["p01", "sub-02_ses-1", "Case.3"]


def test_ids_that_differ_in_capitals_only_are_kept_apart():
    first, second = folder_names(["Anna", "anna"])
    assert first.lower() != second.lower()


def test_the_name_does_not_depend_on_the_order():
    forth, back = folder_names(HOSTILE), folder_names(HOSTILE[::-1])
    assert forth == back[::-1]


def test_an_id_that_imitates_another_s_folder_gets_its_own():
    (made,) = folder_names(["a/b"])
    assert len(set(folder_names(["a/b", made]))) == 2


def test_shown_is_one_short_line_without_control_characters():
    assert shown("a\n\x1b[31mb\tc") == "a [31mb c"
    assert len(shown("x" * 999, 40)) == 40
