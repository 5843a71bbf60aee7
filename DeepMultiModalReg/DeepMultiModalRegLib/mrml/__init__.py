"""The door to 3D Slicer: nodes to images and transforms and back. Needs slicer and vtk, never qt."""

from .register import NodeResult, register_nodes
from .transform import node_from_transform, transform_from_node
from .volume import image_from_node, mask_from_node, node_from_image

__all__ = [
    "NodeResult",
    "image_from_node",
    "mask_from_node",
    "node_from_image",
    "node_from_transform",
    "register_nodes",
    "transform_from_node",
]
