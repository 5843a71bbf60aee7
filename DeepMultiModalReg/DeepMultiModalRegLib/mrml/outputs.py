"""Outputs: which nodes may be written, and what they are called. No torch here: the panel asks before it computes."""

from __future__ import annotations

from .words import tr as _

REPORT_ATTRIBUTE = "DeepMultiModalReg.Report"  # on the transform node: the report travels with the scene
KINDS = {
    "volume": "vtkMRMLScalarVolumeNode", "translated": "vtkMRMLScalarVolumeNode",
    "transform": "vtkMRMLTransformNode", "inverse": "vtkMRMLTransformNode",
}  # fmt: skip


def problem_with(outputs: dict, fixed, moving, masks) -> str:
    """Why these outputs cannot be: they would change an input, or each other. A sentence, or nothing.

    outputs: transform, volume, inverse, translated to a node, True (a new one), False or None. masks: fixed, moving.
    """
    given = [node for node in outputs.values() if node not in (True, False, None)]
    if len({node.GetID() for node in given}) != len(given):
        return _("One node was chosen for two outputs; choose different ones.")
    for key, kind in KINDS.items():
        if outputs.get(key) in given and not outputs[key].IsA(kind):
            return _("'{name}' cannot hold the output {key}; choose another node.").format(
                name=outputs[key].GetName(), key=key
            )
    for node in given:
        for source in (fixed, moving, *masks):
            if source is None:
                continue
            parents = _parents(source)
            # the transform of an earlier run, still on the moving volume, may be replaced by the new one
            replaced = source in (moving, masks[1]) and node is outputs["transform"] and node in parents[:1]
            if node is source or (node in parents and not replaced):
                return _(
                    "'{name}' cannot be an output: '{source}' is an input that it is or that it places, and inputs are "
                    "never changed. Choose or create another node."
                ).format(name=node.GetName(), source=source.GetName())
    return ""


def names_for(fixed, moving) -> dict[str, str]:
    """What new output nodes are called."""
    words = {
        "volume": _("{moving} on {fixed}"), "translated": _("{moving} as {fixed}"),
        "inverse": _("{fixed} to {moving}"), "transform": _("{moving} to {fixed}"),
    }  # fmt: skip
    return {key: name.format(fixed=fixed.GetName(), moving=moving.GetName()) for key, name in words.items()}


def remove_with_displays(scene, node) -> None:
    """Takes a node and its display nodes out of the scene."""
    for display in [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]:
        scene.RemoveNode(display)
    scene.RemoveNode(node)


def _parents(node) -> list:
    """The transform nodes above a node, the nearest first."""
    parents = []
    while (node := node.GetParentTransformNode()) is not None:
        parents.append(node)
    return parents
