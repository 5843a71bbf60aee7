"""The region a known warp is judged in: the body, without holes and without specks."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from ..core import Image
from ..engine.foreground import foreground


def head_mask(image: Image, closing_mm: float = 4.0) -> Tensor:
    """(*shape) bool: the largest connected piece of the foreground (half of Otsu's threshold), closed and filled.

    Background voxels that the foreground encloses (skull, air cells) belong to it.
    """
    spacing = image.grid.spacing
    radius = [max(1, round(closing_mm / s)) if n > 1 else 0 for s, n in zip(spacing, image.grid.size, strict=True)]
    picture = sitk.GetImageFromArray(foreground(image).cpu().numpy().astype(np.uint8))
    # specks of noise go first: closing would tie them to the head
    picture = sitk.BinaryMorphologicalOpening(picture, [min(1, r) for r in radius])
    picture = sitk.RelabelComponent(sitk.ConnectedComponent(picture), sortByObjectSize=True) == 1
    picture = sitk.ConstantPad(picture, radius, radius, 0)
    picture = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(picture, radius, sitk.sitkBox))
    picture = sitk.Crop(picture, radius, radius)
    return torch.from_numpy(sitk.GetArrayFromImage(picture)).bool()
