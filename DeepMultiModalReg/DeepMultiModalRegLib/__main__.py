"""`python -m DeepMultiModalRegLib ...` is the command `deepmultimodalreg` (in PythonSlicer too)."""

from __future__ import annotations

import os
import sys

# Read by the OpenMP library when torch loads it: idle threads sleep instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if __name__ == "__main__":
    from DeepMultiModalRegLib.cli import main

    sys.exit(main())
