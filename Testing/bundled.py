"""The bundled pair with its truth."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from DeepMultiModalRegLib.core import Image
from DeepMultiModalRegLib.io import read_image, read_transform

SAMPLE = Path(__file__).resolve().parent.parent / "Resources" / "SampleData"


def bundled_pair(every: int = 23) -> tuple[Image, Image, Tensor, Tensor]:
    """Fixed, moving, points (N, 3) of every so many voxels of the fixed head, and where they lie in the moving image,
    LPS mm."""
    fixed, moving = (read_image(SAMPLE / name)[0] for name in ("fixed_t1.nii.gz", "moving_t2.nii.gz"))
    head, _ = read_image(SAMPLE / "fixed_head_mask.nii.gz")
    index = torch.nonzero(head.tensor[0] > 0)[::every].flip(-1).double()
    points = index @ head.grid.matrix[:3, :3].T + head.grid.matrix[:3, 3]
    return fixed, moving, points, read_transform(SAMPLE / "truth.h5").points(points)
