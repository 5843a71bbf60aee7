"""Steps: what a run is doing, in words for the user."""

from __future__ import annotations

from .words import tr as _

STEPS = {  # by the names that the panel (first and last), the worker and the engine give them
    "preparing": _("preparing the volumes"), "loading PyTorch": _("loading PyTorch"), "checking": _("checking"),
    "loading the model": _("loading the model"), "start": _("first alignment"), "network": _("network"),
    "rigid": _("rigid alignment"), "affine": _("affine alignment"), "transform": _("transform"),
    "refine": _("refinement"), "inverse": _("inverse"), "warping": _("resampling"), "report": _("measuring"),
    "filling": _("filling the scene"),
}  # fmt: skip


def in_words(step: str) -> str:
    """A step that is not known here as it calls itself."""
    return STEPS.get(step, step)
