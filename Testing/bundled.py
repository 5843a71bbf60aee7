"""The bundled pair with its truth."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk
import torch
from torch import Tensor

from DeepMultiModalRegLib.core import Image
from DeepMultiModalRegLib.engine.intensity import normalise
from DeepMultiModalRegLib.io import read_image, read_transform
from DeepMultiModalRegLib.io.image import sitk_from

SAMPLE = Path(__file__).resolve().parent.parent / "Resources" / "SampleData"


def bundled_pair(every: int = 23) -> tuple[Image, Image, Tensor, Tensor]:
    """Fixed, moving, points (N, 3) of every so many voxels of the fixed head, and where they lie in the moving image,
    LPS mm."""
    fixed, moving = (read_image(SAMPLE / name)[0] for name in ("fixed_t1.nii.gz", "moving_t2.nii.gz"))
    head, _ = read_image(SAMPLE / "fixed_head_mask.nii.gz")
    index = torch.nonzero(head.tensor[0] > 0)[::every].flip(-1).double()
    points = index @ head.grid.matrix[:3, :3].T + head.grid.matrix[:3, 3]
    return fixed, moving, points, read_transform(SAMPLE / "truth.h5").points(points)


def ct_like() -> Image:
    """What CT of the bundled fixed head might look like, in Hounsfield units on its lattice: air, fat below the skin, a
    shell of bone 5 to 11 mm deep, and inside it fluid where T1 is dark. Bones of the face and of the base are missing.
    """
    t1, head = (read_image(SAMPLE / name)[0] for name in ("fixed_t1.nii.gz", "fixed_head_mask.nii.gz"))
    mask = sitk_from((head.tensor[0] > 0).to(torch.uint8).numpy()[None], t1.grid)
    distance = sitk.SignedMaurerDistanceMap(mask, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    depth = torch.from_numpy(sitk.GetArrayFromImage(distance))
    grey = normalise(t1.tensor)[0]
    hu = torch.full(t1.grid.shape, -1000.0)
    for deeper_than, value in ((0, -80.0), (5, 900.0)):
        hu[depth > deeper_than] = value
    tissue = 8 + 80 * grey.clamp(max=0.4) - 15 * (grey - 0.4).clamp(min=0)
    return t1.with_tensor(torch.where(depth > 11, tissue, hu)[None])
