"""`python -m DeepMultiModalRegLib ...` is the command `deepmultimodalreg` (in PythonSlicer too)."""

from __future__ import annotations

import os
import sys

from DeepMultiModalRegLib.waiting import patient

os.environ.update(patient(os.environ))

if __name__ == "__main__":
    from DeepMultiModalRegLib.cli import main

    sys.exit(main())
