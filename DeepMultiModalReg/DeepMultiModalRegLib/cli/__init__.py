"""The command line: `deepmultimodalreg register | models | demo | train | evaluate | benchmark`.

Exit codes: 0 done, 2 bad input, 3 not enough memory, 4 cancelled, 5 internal error. An error is one sentence on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence

from .interrupt import Interrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. Listens for Ctrl-C before torch is imported, which takes seconds."""
    with Interrupt() as interrupt:
        from .program import run

        return run(arguments, interrupt)


__all__ = ["main"]
