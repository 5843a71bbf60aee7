"""Quiet: what the libraries under SimpleITK print by themselves, kept off the error output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that C code prints on the standard error reaches it meanwhile: a refusal is one sentence, and the
    libraries' own words (libpng, MetaIO, GDCM, nifti_clib) say nothing that it does not say. Not for threads: what
    another one prints meanwhile is lost too."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (AttributeError, OSError, ValueError):  # a program without an error output
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
