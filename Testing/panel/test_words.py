"""Every sentence that the panel says can be translated, and every choice of the engine has words for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from file_lists import MODULE

from DeepMultiModalRegLib.engine import start
from DeepMultiModalRegLib.panel import method_section
from DeepMultiModalRegLib.panel.models import CLASSICAL
from DeepMultiModalRegLib.panel.steps import STEPS

LIBRARY = MODULE / "DeepMultiModalRegLib"
SOURCES = [MODULE / "DeepMultiModalReg.py", LIBRARY / "mrml" / "nodes.py", LIBRARY / "mrml" / "outputs.py"]
SOURCES += sorted((LIBRARY / "panel").glob("*.py"))
# what no user reads, or stays as it is: code for the child, Qt's signals, a column's name, a reason, the maintainers
UNSEEN = re.compile(
    r"^import sys|^sys\.exit|\(.*\)$|^Test passed$|^Registration is not tested|^whole s$|maintainers$|by the caller$"
)


def sayings(source: str) -> tuple[list[str], list[str]]:
    """(texts handed to the translator, texts of several words that are not) of a Python file, without docstrings."""
    tree = ast.parse(source)
    told, bare, skipped = [], [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            skipped.add(node.body[0].value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate"):
            assert all(isinstance(a, ast.Constant) for a in node.args), f"line {node.lineno}: only plain text"
            told.append(node.args[-1].value)
            skipped.update(ast.walk(node))
        if isinstance(node, ast.Dict):
            skipped.update(key for key in node.keys if key is not None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            if re.search(r"[A-Za-z]{2,} [A-Za-z]", node.value) and not UNSEEN.search(node.value):
                bare.append(f"line {node.lineno}: {node.value}")
    return told, bare


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_sentence_goes_through_the_translator(path: Path) -> None:
    assert sayings(path.read_text(encoding="utf-8"))[1] == []


def test_a_sentence_that_goes_past_the_translator_is_found() -> None:
    told, bare = sayings("x.text = 'Press this'\ny.text = _('Press {name}').format(name='that')\nz = 'one'")
    assert told == ["Press {name}"] and bare == ["line 1: Press this"]


def test_every_start_of_the_engine_is_offered_in_words() -> None:
    assert set(method_section.STARTS) == set(start.STARTS)
    assert all(len(words.split()) > 1 for words in method_section.STARTS.values())


def test_every_step_of_a_run_has_words() -> None:
    engine = LIBRARY / "engine"
    named = re.findall(r'stages\.step\("([^"]+)"', (engine / "registration.py").read_text(encoding="utf-8"))
    named += re.findall(r'step="([^"]+)"', (engine / "worker.py").read_text(encoding="utf-8"))
    assert len(named) > 8 and {*named, *CLASSICAL, "preparing", "filling"} == set(STEPS)
