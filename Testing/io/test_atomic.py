"""A file appears whole or not at all, and an output that cannot be written is a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.core import Affine, Grid, Image, InputError
from DeepMultiModalRegLib.io import replacing, require_writable, write_image, write_json, write_text, write_transform

IMAGE = Image(torch.ones((1, 2, 3, 4)), Grid.regular((4, 3, 2), 1.0))


def test_a_failure_while_writing_leaves_neither_the_file_nor_a_trace(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x.nrrd") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_keeps_the_file_that_was_there(tmp_path) -> None:
    (tmp_path / "x.nrrd").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x.nrrd") as temporary:
        temporary.write_bytes(b"half")
        assert (tmp_path / "x.nrrd").read_bytes() == b"before"
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["x.nrrd"]
    assert (tmp_path / "x.nrrd").read_bytes() == b"before"


def test_a_writer_that_changes_the_working_folder_still_writes_to_the_place_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with replacing("x.txt") as temporary:
        temporary.write_text("x")
        os.chdir("elsewhere")
    assert (tmp_path / "x.txt").read_text() == "x" and not list((tmp_path / "elsewhere").iterdir())


def test_a_writer_that_breaks_off_leaves_nothing_and_says_so(tmp_path, monkeypatch) -> None:
    def break_off(_object, name, *_args, **_kwargs) -> None:
        with open(name, "wb") as file:
            file.write(b"half of it")
        raise RuntimeError("ITK ERROR: no space left on device.")

    monkeypatch.setattr(sitk, "WriteImage", break_off)
    with pytest.raises(InputError, match="cannot be written"):
        write_image(IMAGE, tmp_path / "x.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_last_step_leaves_nothing_and_says_so(tmp_path, monkeypatch) -> None:
    def full(*_args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_text("x", tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_format_of_two_files_arrives_with_both_and_overwrites_both(tmp_path) -> None:
    for value in (1.0, 2.0):
        write_image(Image(IMAGE.tensor * value, IMAGE.grid), tmp_path / "x.mhd")
        names = sorted(p.name for p in tmp_path.iterdir())
        assert len(names) == 2 and names[0] == "x.mhd"
        assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.mhd"))).max() == value


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path) -> None:
    write_text("x", tmp_path / "ours.txt")
    (tmp_path / "plain.txt").write_text("x")
    assert (tmp_path / "ours.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_json_is_readable_again(tmp_path) -> None:
    write_json({"folds": 0.02, "text": "Größe"}, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == {"folds": 0.02, "text": "Größe"}


@pytest.mark.parametrize("name", ["absent/x.nrrd", "folder", "file/x.nrrd"])
def test_a_place_that_cannot_be_written_is_refused_before_and_while_writing(name, tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    for attempt in (require_writable, lambda path: write_text("x", path)):
        with pytest.raises(InputError) as caught:
            attempt(tmp_path / name)
        assert name in str(caught.value) and caught.value.exit_code == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no permission"):
        require_writable(tmp_path / "locked" / "x.nrrd")


def test_an_unknown_or_unfit_format_is_refused_with_the_ones_that_fit(tmp_path) -> None:
    with pytest.raises(InputError, match=r"\.nrrd"):
        write_image(IMAGE, tmp_path / "x.jpg")
    with pytest.raises(InputError, match=r"\.nrrd"):
        write_image(IMAGE, tmp_path / "x.png")
    with pytest.raises(InputError, match=r"\.h5"):
        write_transform(Affine.identity(3), tmp_path / "x.json")
    with pytest.raises(InputError, match=r"\.h5"):
        write_transform(Affine.identity(3), tmp_path / "x.nrrd")
    assert list(tmp_path.iterdir()) == []


CHILD = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from DeepMultiModalRegLib.io import replacing
with replacing(sys.argv[2]) as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""


def killed_while_writing(path) -> None:
    library = str(Path(__file__).resolve().parents[2] / "DeepMultiModalReg")
    child = subprocess.Popen([sys.executable, "-c", CHILD, library, str(path)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"writing\n"
    child.kill()
    child.wait()


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_a_process_killed_while_writing_leaves_the_old_file_and_the_next_one_tidies_up(tmp_path) -> None:
    (tmp_path / "x.txt").write_text("before")
    killed_while_writing(tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_text() == "before" and len(list(tmp_path.iterdir())) == 2
    write_text("after", tmp_path / "x.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"] and (tmp_path / "x.txt").read_text() == "after"


def test_what_a_living_process_is_writing_is_left_alone(tmp_path) -> None:
    with replacing(tmp_path / "x.txt") as temporary:
        temporary.write_text("mine")
        write_text("another's", tmp_path / "x.txt")
        assert temporary.read_text() == "mine"
    assert (tmp_path / "x.txt").read_text() == "mine"


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from DeepMultiModalRegLib.core import DenseField, Grid, Image, InputError
from DeepMultiModalRegLib.io import write_image, write_json, write_transform
folder = Path(sys.argv[2])
noise = torch.rand((3, 20, 20, 20), generator=torch.Generator().manual_seed(0))
grid = Grid.regular((20, 20, 20), 1.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in sys.argv[3:]:
    try:
        if name.endswith("json"):
            write_json({"x": "y" * 30_000}, folder / name)
        elif name.endswith(("h5", "tfm")):
            write_transform(DenseField(Image(noise, grid)), folder / name)
        else:
            write_image(Image(noise[:1], grid), folder / name)
        print("done")
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are POSIX's")
def test_a_file_that_does_not_fit_on_the_disk_leaves_nothing_and_says_so(tmp_path) -> None:
    """A process that may write 20 KB a file: writing ends in its middle, as on a full disk."""
    names = ["x.nrrd", "x.nhdr", "x.nii", "x.nii.gz", "x.mha", "x.mhd", "x.h5", "x.tfm", "x.json"]
    library = str(Path(__file__).resolve().parents[2] / "DeepMultiModalReg")
    words = [sys.executable, "-c", FULL, library, str(tmp_path), *names]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    lines = done.stdout.splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert "cannot be written" in line and name in line and line.endswith("."), line
    assert list(tmp_path.iterdir()) == []
