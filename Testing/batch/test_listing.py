"""Case lists: what spreadsheets write is read; what is wrong is one sentence with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from DeepMultiModalRegLib.batch.listing import read_list
from DeepMultiModalRegLib.core import InputError

STARTS = ("none", "centre", "moments", "rigid", "affine", "network")


def listed(tmp_path: Path, content: str | bytes, model=None, start="moments", start_file=False, refine=0):
    path = tmp_path / "cases.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_list(path, model, start, start_file, refine, STARTS)


PLAIN = "fixed,moving,id\na/f.nii,m.nii,one\nf2.nii,m2.nii,two\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\n\n  ,  ,\n"),
        PLAIN.replace("fixed", " Fixed ").replace("id\n", "ID\n"),
        '"fixed","moving","id"\n"a/f.nii","m.nii","one"\nf2.nii, "m2.nii",two',
        PLAIN.encode("utf-16"),
    ],
    ids=["plain", "bom", "semicolon", "tab", "crlf", "empty_lines", "capitals", "quoted", "utf16"],
)
def test_what_spreadsheets_write_is_read(tmp_path, content):
    cases, warnings = listed(tmp_path, content)
    assert [(c.id, c.files, c.folder) for c in cases] == [
        ("one", {"fixed": "a/f.nii", "moving": "m.nii"}, "one"),
        ("two", {"fixed": "f2.nii", "moving": "m2.nii"}, "two"),
    ]
    assert cases[0].path("fixed") == tmp_path / "a" / "f.nii" and warnings == []
    assert (cases[0].model, cases[0].start, cases[0].refine) == (None, "moments", 0)


def test_a_cell_with_the_separator_a_quote_and_a_line_break_is_one_cell(tmp_path):
    cases, _ = listed(tmp_path, 'fixed,moving,id\n"a,b.nii",m.nii,"say ""hi""\nthere"\n')
    assert cases[0].files["fixed"] == "a,b.nii" and cases[0].id == 'say "hi"\nthere'
    assert "\n" not in cases[0].folder


def test_columns_of_a_row_go_before_the_options(tmp_path):
    columns = "fixed,moving,model,start,refine,fixed-mask,Moving Mask\n"
    content = columns + "f,m,affine,none,7,a,b\nf2,m,,t.h5,,,\nf3,m,,,,,\n"
    one, two, three = listed(tmp_path, content, "rigid", "/x/s.h5", True, 3)[0]
    assert (one.model, one.start, one.start_file, one.refine) == ("affine", "none", False, 7)
    assert one.files == {"fixed": "f", "moving": "m", "fixed_mask": "a", "moving_mask": "b"}
    assert (two.model, two.start, two.start_file, two.refine) == ("rigid", "t.h5", True, 3)
    assert two.roles() == ("fixed", "moving", "start") and two.path("start") == tmp_path / "t.h5"
    assert (three.start, three.start_file) == ("/x/s.h5", True) and str(three.path("start")) == "/x/s.h5"


def test_without_ids_the_names_do_not_depend_on_the_rows_places(tmp_path):
    head, rows = "fixed,moving\n", ["s1/t1.nii,s1/t2.nii\n", "s2/t1.nii,s2/t2.nii\n", "s3/t1.nii,s3/t2.nii\n"]
    forth = {c.files["fixed"]: c.folder for c in listed(tmp_path, head + "".join(rows))[0]}
    back = {c.files["fixed"]: c.folder for c in listed(tmp_path, head + "".join(rows[::-1]))[0]}
    assert forth == back and len(set(forth.values())) == 3
    assert all(name.startswith("t2-on-t1.") for name in forth.values())


def test_paths_may_lead_out_of_the_list_s_folder(tmp_path):
    cases, _ = listed(tmp_path, "fixed,moving,id\n../f.nii,/data/m.nii,a\n")
    assert cases[0].path("fixed") == tmp_path / ".." / "f.nii" and str(cases[0].path("moving")) == "/data/m.nii"


def test_columns_that_mean_nothing_here_are_named_and_not_used(tmp_path):
    cases, warnings = listed(tmp_path, "fixed,moving,id,age,site\nf,m,a,44,X\n")
    assert len(cases) == 1 and "age, site" in warnings[0]


BAD = {
    "empty": ("", "is empty"),
    "only_columns": ("fixed,moving\n", "names no case"),
    "no_moving": ("fixed,image\nf,m\n", "no column 'moving'"),
    "no_columns": ("f.nii,m.nii\n", "no column 'fixed'"),
    "twice": ("fixed,moving,fixed\nf,m,f\n", "'fixed' twice"),
    "misspelt": ("fixed,moving,fixed_maks\nf,m,k\n", "if 'fixed_mask' is meant"),
    "no_fixed_image": ("fixed,moving\nf,m\n,m2\n", "line 3: no fixed image"),
    "too_many_cells": ("fixed,moving\nf,m,x\n", "3 cells in line 2"),
    "open_quote": ('fixed,moving\n"f,m\n', "breaks off at line"),
    "line_break_in_path": ('fixed,moving\n"f\n.nii",m\n', "line break"),
    "duplicate_id": ("fixed,moving,id\nf,m,a\ng,m,a\n", "lines 2, 3 are one case .'a'."),
    "same_pair_twice": ("fixed,moving\nf,m\ng,m\nf,m\n", "lines 2, 4 are one case"),
    "refine_negative": ("fixed,moving,refine\nf,m,-1\n", "refine is '-1'"),
    "refine_word": ("fixed,moving,refine\nf,m,lots\n", "refine is 'lots'"),
    "refine_huge": ("fixed,moving,refine\nf,m,99999999999999\n", "refine is"),
    "long_path": ("fixed,moving\n" + "x" * 5000 + ",m\n", "5000 characters in 'fixed'"),
    "binary": (b"fixed,moving\n\0\0,m\n", "binary"),
    "latin1": ("fixed,moving\nM\xfcller.nii,m\n".encode("latin-1"), "not UTF-8"),
    "image": (bytes(range(256)) * 9, "not UTF-8|binary"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_is_one_sentence(tmp_path, name):
    content, pattern = BAD[name]
    with pytest.raises(InputError, match=pattern) as caught:
        listed(tmp_path, content)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_of_many_mistakes_the_first_are_named(tmp_path):
    with pytest.raises(InputError, match="line 2: .*line 3: .*line 4: .*; and 6 more"):
        listed(tmp_path, "fixed,moving\n" + ",m\n" * 9)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None], ids=["folder", "missing"])
def test_a_list_that_is_no_file_is_one_sentence(tmp_path, make):
    make(tmp_path / "c.csv")
    with pytest.raises(InputError, match="c.csv"):
        read_list(tmp_path / "c.csv", None, "moments", False, 0, STARTS)
