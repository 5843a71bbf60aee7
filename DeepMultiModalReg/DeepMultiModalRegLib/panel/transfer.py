"""Transfer: the transform on whatever else belongs to the moving volume, and off again."""

from __future__ import annotations

from .words import PanelError
from .words import tr as _

TICKED = "transferNodes"  # reference role on the parameter node: what is ticked is kept in the scene


def ticked(parameters) -> list:
    """The nodes that the scene says are ticked."""
    node = parameters.parameterNode
    count = node.GetNumberOfNodeReferences(TICKED)
    found = [node.GetNthNodeReference(TICKED, i) for i in range(count)]
    return [one for one in found if one is not None]


def tick(parameters, nodes) -> None:
    """Keeps the ticked nodes in the scene."""
    if [node.GetID() for node in ticked(parameters)] != [node.GetID() for node in nodes]:
        own = parameters.parameterNode
        modifying = own.StartModify()
        own.RemoveNodeReferenceIDs(TICKED)
        for node in nodes:
            own.AddNodeReferenceID(TICKED, node.GetID())
        own.EndModify(modifying)


class Transfer:
    """Remembers the parents that it replaced."""

    def __init__(self) -> None:
        self._replaced: list[tuple[object, str | None]] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._replaced)

    def apply(self, nodes, transform, fixed, moving) -> str:
        """Puts the transform on the nodes in place of the moving volume's own parent; a sentence of what was done.

        Raises PanelError, before anything is changed, for a node that belongs elsewhere.
        """
        if not nodes:
            raise PanelError(_("Tick what shall be moved."))
        if transform is None or transform.GetScene() is None:
            raise PanelError(_("There is no transform yet; apply first."))
        own = moving.GetTransformNodeID() if moving is not None else None
        for node in nodes:
            if node is fixed:
                raise PanelError(_("'{name}' is the fixed volume: it stays.").format(name=node.GetName()))
            parent = node.GetTransformNodeID()
            if parent not in (None, own, transform.GetID()):
                raise PanelError(
                    _(
                        "'{name}' lies under another transform than the moving volume; put it there, or harden it, "
                        "first."
                    ).format(name=node.GetName())
                )
        changed = [node for node in nodes if node.GetTransformNodeID() != transform.GetID()]
        for node in changed:
            self._replaced.append((node, node.GetTransformNodeID()))
            node.SetAndObserveTransformNodeID(transform.GetID())
        return _("'{transform}' is on {names}.").format(
            transform=transform.GetName(), names=", ".join(node.GetName() for node in nodes)
        )

    def undo(self) -> None:
        """Every node under the parent it had."""
        for node, parent in reversed(self._replaced):
            scene = node.GetScene()
            if scene is not None:
                node.SetAndObserveTransformNodeID(parent if parent and scene.GetNodeByID(parent) else None)
        self._replaced = []
