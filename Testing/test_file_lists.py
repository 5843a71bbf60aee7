"""What is installed is what is in the tree."""

from __future__ import annotations

import pytest
from file_lists import CMAKE, LIBRARY, PYPROJECT, ROOT, expected, listed, rewritten


@pytest.mark.parametrize("name", ["scripts", "resources"])
def test_cmake_lists_exactly_the_files_of_the_tree(name: str) -> None:
    assert listed(CMAKE.read_text(encoding="utf-8"), name) == expected()[name], "Run: make lists"


def test_pyproject_lists_exactly_the_packages_of_the_tree() -> None:
    assert listed(PYPROJECT.read_text(encoding="utf-8"), "packages") == expected()["packages"], "Run: make lists"


def test_every_folder_with_python_files_is_a_package() -> None:
    folders = {path.parent for path in LIBRARY.rglob("*.py")}
    assert [str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_a_file_that_is_not_listed_is_noticed(tmp_path) -> None:
    (tmp_path / "DeepMultiModalRegLib" / "core").mkdir(parents=True)
    for name in ("M.py", "DeepMultiModalRegLib/__init__.py", "DeepMultiModalRegLib/core/__init__.py"):
        (tmp_path / name).touch()
    text = "set(X\n  # scripts begin\n  old.py\n  # scripts end\n  )\n"
    text = rewritten(text, "scripts", expected(tmp_path)["scripts"], "  {}")
    assert listed(text, "scripts") == expected(tmp_path)["scripts"]
    (tmp_path / "DeepMultiModalRegLib" / "core" / "grid.py").touch()
    assert set(expected(tmp_path)["scripts"]) - set(listed(text, "scripts")) == {"DeepMultiModalRegLib/core/grid.py"}


def test_extension_metadata_is_one_quoted_line_each() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(DeepMultiModalReg)" in text
    for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        lines = [line for line in text.splitlines() if line.startswith(f"set(EXTENSION_{name} ")]
        assert len(lines) == 1 and lines[0].endswith('")') and lines[0].count('"') == 2, name
