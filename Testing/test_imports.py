"""The floors of the library: an import only points down, and no floor knows of what stands above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from file_lists import MODULE

LIBRARY = MODULE / "DeepMultiModalRegLib"
SLICER = {"slicer", "vtk"}
WINDOW = {"qt", "ctk", "PythonQt", "PySide6", "sitkUtils"}
BELOW_SLICER = ("core", "losses", "networks", "methods", "engine", "training", "io")


def imported(path: Path) -> set[str]:
    """First names of everything that a file imports, wherever in it; relative ones as they are in the library."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("floor", [*BELOW_SLICER, "mrml", "panel", "cli", "evaluation"])
def test_no_floor_of_the_library_knows_of_a_window_and_those_below_know_nothing_of_slicer(floor: str) -> None:
    files = sorted((LIBRARY / floor).rglob("*.py"))
    assert files
    refused = WINDOW | (SLICER if floor in BELOW_SLICER else set()) | ({"SimpleITK"} if floor == "core" else set())
    assert {path.name: imported(path) & refused for path in files if imported(path) & refused} == {}


def test_an_import_is_found_wherever_it_hides(tmp_path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    import vtk.util as v\n    from slicer.util import x\n")
    assert imported(tmp_path / "a.py") == {"vtk", "slicer"}
