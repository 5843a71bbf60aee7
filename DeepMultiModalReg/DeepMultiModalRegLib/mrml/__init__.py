"""The door to 3D Slicer: nodes to images and transforms and back. Needs slicer and vtk, never qt.

The names below are imported when they are first used: modules here that need no torch can be had without it.
"""

from importlib import import_module

_HOMES = {
    "NodeResult": "register",
    "SequenceResult": "sequence",
    "register_nodes": "register",
    "register_sequence": "sequence",
    "image_from_node": "volume",
    "mask_from_node": "volume",
    "node_from_image": "volume",
    "node_from_transform": "transform",
    "transform_from_node": "transform",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
