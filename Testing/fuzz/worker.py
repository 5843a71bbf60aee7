"""Worker: runs cases one after the other in a process of its own, so that a crash or a hang takes nothing along.

`python worker.py SEED FIRST COUNT FOLDER MODELS` prints one JSON object a line: {"begin": n}, then
{"number": n, "kind": ..., "words": [...], "code": exit code, "problems": [sentences], "said": last lines of stderr}.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "DeepMultiModalReg")]

from fuzz.cases import FuzzCase, draw  # noqa: E402

GOOD = (0, 2, 3)  # done, refused, or refused for want of memory, where a header asks for terabytes


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What this process and the libraries in it print, as [stdout, stderr]."""
    said: list[str] = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush(), sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        try:
            yield said
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode("utf-8", "replace"))


def judged(case: FuzzCase, out: Path, code: int, said: list[str], before: dict[Path, str]) -> list[str]:
    """What is wrong with how the case ended, in sentences."""
    problems = []
    lines = said[1].strip().splitlines()
    written = sorted(path.name for path in out.rglob("*"))
    if code not in GOOD:
        problems.append(f"exit code {code}")
    if any("Traceback" in text for text in said):
        problems.append("a traceback")
    if {path: digest(path) for path in before} != before:
        problems.append("an input was changed")
    if any(name.startswith(".") for name in written):
        problems.append(f"something was left behind: {written}")
    if code == 0:
        asked = [Path(word).name for word in case.words if Path(word).parent == out]
        if sorted(set(asked)) != [name for name in written if not name.endswith((".raw", ".zraw"))] and not sequence(
            written
        ):
            problems.append(f"{asked} were asked for, {written} written")
        problems += [f"{path.name} cannot be read" for path in out.iterdir() if not readable(path)]
    else:
        if written:
            problems.append(f"refused, but {written} written")
        if len(lines) != 1 or not lines[0].endswith(".") or len(lines[0]) < 20:
            problems.append("not one sentence on stderr")
    return problems


def sequence(written: list[str]) -> bool:
    return any("-000." in name for name in written)


def readable(path: Path) -> bool:
    import SimpleITK as sitk

    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".h5", ".tfm"):
            sitk.ReadTransform(str(path))
        elif path.suffix not in (".raw", ".zraw"):
            sitk.ReadImage(str(path))
    except (RuntimeError, ValueError):
        return False
    return True


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if os.path.isfile(path) else ""


def run(seed: int, number: int, folder: Path, models: Path) -> dict:
    from DeepMultiModalRegLib.cli import main

    place = folder / f"{number:04d}"
    place.mkdir()
    with heard():  # writing odd files makes libraries talk
        case = draw(seed, number, place, models)
    os.environ["DEEPMULTIMODALREG_MODELS"] = str(case.models or models)
    before = {path: digest(path) for path in case.inputs}
    with heard() as said:
        try:
            code = main(case.words)
        except BaseException as error:  # whatever gets through is what this looks for
            code, _ = 99, print(f"{type(error).__name__}: {error}", file=sys.stderr)
    problems = judged(case, place / "out", code, said, before)
    if not problems:
        shutil.rmtree(place)
    return {
        "number": number,
        "kind": case.kind,
        "words": case.words,
        "code": code,
        "problems": problems,
        "said": said[1][-800:],
    }


def main() -> None:
    seed, first, count = map(int, sys.argv[1:4])
    folder, models = map(Path, sys.argv[4:6])
    from DeepMultiModalRegLib.engine import catalogue

    catalogue.SHIPPED = ()
    for number in range(first, first + count):
        print(json.dumps({"begin": number}), flush=True)
        print(json.dumps(run(seed, number, folder, models)), flush=True)


if __name__ == "__main__":
    main()
