"""Words for the user, translated where Slicer can. No torch: what Slicer's window says must not wait for it."""

from __future__ import annotations

try:
    from slicer.i18n import tr
except ImportError:  # slicer-core has no translations

    def tr(text: str) -> str:
        return text


class NodeError(Exception):
    """A sentence with cause and remedy: a node is not what it must be. exit_code: as core.errors.InputError."""

    exit_code = 2
