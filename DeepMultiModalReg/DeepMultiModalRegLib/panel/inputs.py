"""Inputs: volumes and masks as a job holds them: arrays, and where they lie."""

from __future__ import annotations

import numpy as np

from ..mrml.nodes import index_to_ras, merged_segments, parent_to_world, voxels


def placed(node) -> dict:
    """Where a volume lies, for a job: ras and parent; and its number type."""
    return {**_where(node, index_to_ras(node)), "pixel": voxels(node).dtype.name}


def mask_voxels(node) -> tuple[np.ndarray, dict]:
    """((K, J, I) uint8, where it lies): 1 in every segment of a segmentation, or where a volume is above zero."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        array = voxels(node)
        array = array if array.ndim == 3 else array.max(0)
        return (array > 0).astype(np.uint8), _where(node, index_to_ras(node))
    array, ras = merged_segments(node)
    return (array > 0).astype(np.uint8), _where(node, ras)


def _where(node, ras: np.ndarray) -> dict:
    return {"ras": ras.tolist(), "parent": parent_to_world(node).tolist()}
