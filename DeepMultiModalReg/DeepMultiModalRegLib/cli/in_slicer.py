"""The command line inside a Slicer without window, or in any Python:

    Slicer --no-splash --no-main-window --python-script .../DeepMultiModalRegLib/cli/in_slicer.py \\
        batch cases.csv --out results
    PythonSlicer .../DeepMultiModalRegLib/cli/in_slicer.py batch cases.csv --out results

Slicer hands what it does not know itself on to the script. Its exit code is the command's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

COMMANDS = ("register", "batch", "models", "evaluate", "benchmark", "train", "demo")


def words_of(arguments: list[str]) -> list[str]:
    """From the command on: before it may stand what was meant for Slicer."""
    first = next((n for n, word in enumerate(arguments) if word in COMMANDS), None)
    return arguments if first is None else arguments[first:]


def run(arguments: list[str]) -> int:
    library = str(Path(__file__).resolve().parents[2])
    if library not in sys.path:
        sys.path.insert(0, library)
    from DeepMultiModalRegLib.waiting import patient

    os.environ.update(patient(os.environ))
    from DeepMultiModalRegLib.cli import main

    try:
        return main(words_of(arguments))
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


if __name__ == "__main__":
    status = run(sys.argv[1:])
    slicer = sys.modules.get("slicer")
    if getattr(slicer, "app", None) is None:  # PythonSlicer, or any Python
        sys.exit(status)
    slicer.util.exit(status)  # the application ends with its event loop, not with the script
