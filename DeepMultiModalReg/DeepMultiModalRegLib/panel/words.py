"""Words for the user, translated where Slicer can."""

from __future__ import annotations

from ..mrml.words import NodeError, tr

__all__ = ["PanelError", "tr"]


class PanelError(NodeError):
    """A sentence with cause and remedy for the user. exit_code: as in core.errors (2 input, 3 memory, 4 cancelled, 5).

    details: what a developer needs, such as a traceback.
    """

    def __init__(self, message: str, exit_code: int = 2, details: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = details
