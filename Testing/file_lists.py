"""The explicit file lists of DeepMultiModalReg/CMakeLists.txt and pyproject.toml: what the tree says they must hold.

`make lists` (this file run as a script) rewrites them; test_file_lists.py compares. CMake and setuptools both install
only what is listed, so a forgotten file is missing in the user's Slicer and nowhere else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "DeepMultiModalReg"
LIBRARY = MODULE / "DeepMultiModalRegLib"
CMAKE = MODULE / "CMakeLists.txt"
PYPROJECT = ROOT / "pyproject.toml"
RESOURCE_SUFFIXES = {".ui", ".png", ".svg", ".yaml", ".json", ".qrc", ".ts"}


def expected(module: Path = MODULE) -> dict[str, list[str]]:
    """What the tree holds: list name -> sorted entries, as they are written in the files."""
    files = sorted(p.relative_to(module) for p in module.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    files = [p for p in files if not any(part.endswith(".egg-info") for part in p.parts)]
    packages = sorted({".".join(p.parent.parts) for p in files if p.name == "__init__.py"})
    return {
        "scripts": [p.as_posix() for p in files if p.suffix == ".py"],
        "resources": [p.as_posix() for p in files if p.suffix in RESOURCE_SUFFIXES],
        "packages": [*packages, "DeepMultiModalRegLib.models"],
    }


def listed(text: str, name: str) -> list[str]:
    """The entries between `# NAME begin` and `# NAME end` of text, without quotes and commas."""
    block = re.search(rf"# {name} begin\n(.*?)[ \t]*# {name} end", text, re.DOTALL)
    if block is None:
        raise ValueError(f"The marks '# {name} begin' and '# {name} end' are missing.")
    return [line.strip().strip('",') for line in block.group(1).splitlines() if line.strip()]


def rewritten(text: str, name: str, entries: list[str], line: str) -> str:
    """text with the entries put between the marks, each formatted by line (a str.format pattern)."""
    listed(text, name)
    body = "".join(line.format(entry) + "\n" for entry in entries)
    return re.sub(
        rf"(# {name} begin\n).*?([ \t]*# {name} end)", lambda m: m.group(1) + body + m.group(2), text, flags=re.DOTALL
    )


def main() -> int:
    lists = expected()
    cmake = CMAKE.read_text(encoding="utf-8")
    for name in ("scripts", "resources"):
        cmake = rewritten(cmake, name, lists[name], "  {}")
    CMAKE.write_text(cmake, encoding="utf-8")
    pyproject = rewritten(PYPROJECT.read_text(encoding="utf-8"), "packages", lists["packages"], '    "{}",')
    PYPROJECT.write_text(pyproject, encoding="utf-8")
    print(", ".join(f"{len(entries)} {name}" for name, entries in lists.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
