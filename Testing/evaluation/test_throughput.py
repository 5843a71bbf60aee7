"""The throughput experiment measures commands with all their children, and its pairs are pairs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import SimpleITK as sitk

from DeepMultiModalRegLib.batch.listing import read_list
from DeepMultiModalRegLib.core import RegistrationError
from DeepMultiModalRegLib.evaluation.throughput import Watch, memory_of, write_shifted_pairs

HOLD = "held = bytearray(80_000_000); held[::4096] = b'x' * len(held[::4096]); print('held', flush=True); input()"


def test_the_pairs_are_the_bundled_one_at_seeded_places(tmp_path):
    rows = write_shifted_pairs(tmp_path / "a", 3, 5)
    again = write_shifted_pairs(tmp_path / "b", 3, 5)
    assert rows == again and len({row["id"] for row in rows}) == 3
    origins = [sitk.ReadImage(str(tmp_path / name / rows[1]["moving"])).GetOrigin() for name in ("a", "b")]
    assert origins[0] == origins[1]
    first = sitk.ReadImage(str(tmp_path / "a" / rows[0]["moving"]))
    assert first.GetOrigin() != origins[0] and first.GetSize() == sitk.ReadImage(
        str(tmp_path / "a" / rows[1]["moving"])
    ).GetSize()


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="memory is read from /proc")
def test_the_memory_of_children_counts():
    before = memory_of(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    grown = memory_of(os.getpid()) - before
    child.communicate(b"\n")
    assert 80e6 < grown < 130e6 and memory_of(child.pid) == 0


def test_a_command_is_timed_and_one_that_fails_says_why(tmp_path):
    watch = Watch()
    watch.run(["models"], 1)
    figures = watch.figures()
    assert 0.2 < figures["processor"] < 60 and figures["seconds"] > 0.2
    with pytest.raises(RegistrationError, match="nowhere.csv"):
        watch.run(["batch", tmp_path / "nowhere.csv", "--out", tmp_path / "out"], 1)


def test_the_list_is_one_that_a_batch_reads(tmp_path):
    import csv

    rows = write_shifted_pairs(tmp_path / "a", 2, 0)
    with (tmp_path / "a" / "cases.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    cases, warnings = read_list(tmp_path / "a" / "cases.csv", None, "moments", False, 0, ("moments",))
    assert not warnings and all(case.path(role).is_file() for case in cases for role in case.roles())
