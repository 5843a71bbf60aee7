"""Makes the bundled pair from the T1 and T2 images of one patient: python Resources/SampleData/make_sample.py

Reads test/ms12 of the folder in DEEPMULTIMODALREG_DATA (default ../shared/data beside the repository). Both images come
from one session and are aligned, so a pose and a warp put on the T2 image are known at every point.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "DeepMultiModalReg"))

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Grid, Image, invert, jacobian_determinant  # noqa: E402
from DeepMultiModalRegLib.io import to_sitk  # noqa: E402

SEED = 12
TURN_DEGREES = (4.0, -3.0, 5.0)  # about the body's axes, through the head's middle
SHIFT_MM = (6.0, -5.0, 4.0)
LARGEST_MM = 8.0  # of the warp
FIELD_SPACING_MM = 8.0
SMOOTHNESS_MM = 22.0  # standard deviation of the Gaussian that smooths the random field
MARGIN_MM = 6.0  # kept around the head
IN_PLANE_MM = 0.9  # of the moving image; native 0.6


def main(out: Path = HERE) -> int:
    """Writes the four files to `out`, and says how far everything moved."""
    data = Path(os.environ.get("DEEPMULTIMODALREG_DATA", ROOT.parent / "shared" / "data")) / "test" / "ms12"
    t1, t2 = (sitk.ReadImage(str(data / f"{name}.nii.gz")) for name in ("t1", "t2"))
    head = head_mask(t1)
    t1, head = cropped(t1, head), cropped(head, head)
    fixed = lattice(t1)
    truth = known_transform(fixed, centre_of(head))
    moving_head = head_mask(t2)
    t2 = thinned(cropped(t2, moving_head))
    moved = placed(lattice(t2), truth.affine)  # the field of view is planned again on the turned head
    inverse, error = invert(truth, moved, iterations=200)
    moving = sitk.Resample(sitk.Cast(t2, sitk.sitkFloat32), blank(moved), to_sitk(inverse), sitk.sitkBSpline3, 0.0)
    moving = sitk.Cast(sitk.Clamp(moving, lowerBound=0, upperBound=4095), sitk.sitkInt16)

    sitk.WriteImage(sitk.Cast(t1, sitk.sitkInt16), str(out / "fixed_t1.nii.gz"), True)
    sitk.WriteImage(moving, str(out / "moving_t2.nii.gz"), True)
    sitk.WriteImage(head, str(out / "fixed_head_mask.nii.gz"), True)
    sitk.WriteTransform(to_sitk(truth), str(out / "truth.h5"))
    report(truth, fixed, head, error, out)
    return 0


def known_transform(fixed: Grid, centre: torch.Tensor) -> Composite:
    """Fixed points to moving points, LPS mm: a seeded smooth warp, then a turn and a shift."""
    turn = torch.eye(3, dtype=torch.float64)
    for (i, j), degrees in zip([(1, 2), (2, 0), (0, 1)], TURN_DEGREES, strict=True):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        step = torch.eye(3, dtype=torch.float64)
        step[i, i], step[i, j], step[j, i], step[j, j] = c, -s, s, c
        turn = step @ turn
    affine = Affine.from_parts(turn, centre + torch.tensor(SHIFT_MM, dtype=torch.float64) - turn @ centre)

    corners = fixed.corners()
    low, high = corners.amin(0) - 16, corners.amax(0) + 16
    size = tuple(math.ceil(e / FIELD_SPACING_MM) + 1 for e in (high - low).tolist())
    grid = Grid.regular(size, FIELD_SPACING_MM, (low + high) / 2)
    noise = torch.from_numpy(np.random.default_rng(SEED).standard_normal((3, *grid.shape))).float()
    field = smoothed(noise, SMOOTHNESS_MM / FIELD_SPACING_MM)
    for axis, n in enumerate(grid.size):  # the warp fades out towards its border
        line = torch.sin(torch.linspace(0, math.pi, n)).clamp(0, 1).sqrt()
        line[0] = line[-1] = 0
        field = field * line.reshape(-1, *([1] * axis))
    field = field * (LARGEST_MM / field.norm(dim=0).max())
    field = torch.round(field * 1024) / 1024  # so that the file compresses and any reader has the very same numbers
    return Composite(DenseField(Image(field, grid)), affine)


def smoothed(field: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian along every axis of (3, K, J, I), sigma in voxels."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in (1, 2, 3):
        shape = [1] * 5
        shape[axis + 1] = -1
        pad = [0, 0, 0]
        pad[axis - 1] = reach
        field = F.conv3d(field[:, None], (kernel / kernel.sum()).reshape(shape), padding=tuple(pad))[:, 0]
    return field


def head_mask(image: sitk.Image) -> sitk.Image:
    """The head with everything inside it: half of Otsu's threshold, closed by 9 mm, the largest piece, holes filled."""
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), 1.5)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(smooth)
    mask = sitk.Cast(smooth > 0.4 * otsu.GetThreshold(), sitk.sitkUInt8)
    radius = [max(1, round(9 / s)) for s in image.GetSpacing()]
    mask = sitk.BinaryMorphologicalClosing(sitk.ConstantPad(mask, radius, radius, 0), radius)
    mask = mask[radius[0] : -radius[0], radius[1] : -radius[1], radius[2] : -radius[2]]
    mask = sitk.RelabelComponent(sitk.ConnectedComponent(mask), sortByObjectSize=True) == 1
    slices = [sitk.GetArrayFromImage(sitk.BinaryFillhole(mask[:, :, k])) for k in range(mask.GetDepth())]
    filled = sitk.GetImageFromArray(np.stack(slices).astype(np.uint8))
    filled.CopyInformation(mask)
    return filled


def cropped(image: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The mask's box, grown by MARGIN_MM in the slices' plane; all slices."""
    stats = sitk.LabelShapeStatisticsImageFilter()
    stats.Execute(mask)
    box = stats.GetBoundingBox(1)
    pad = [math.ceil(MARGIN_MM / s) for s in image.GetSpacing()[:2]]
    start = [max(0, b - p) for b, p in zip(box[:2], pad, strict=True)]
    stop = [min(n, b + e + p) for n, b, e, p in zip(image.GetSize(), box[:2], box[3:5], pad, strict=False)]
    return image[start[0] : stop[0], start[1] : stop[1], :]


def thinned(image: sitk.Image) -> sitk.Image:
    """The same slices at IN_PLANE_MM, smoothed before so that nothing aliases."""
    spacing = image.GetSpacing()
    smooth = sitk.DiscreteGaussian(sitk.Cast(image, sitk.sitkFloat32), [(0.35 * IN_PLANE_MM) ** 2] * 2 + [0.0])
    size = [round(n * s / IN_PLANE_MM) for n, s in zip(image.GetSize()[:2], spacing[:2], strict=True)]
    grid = lattice(image)
    new = (IN_PLANE_MM, IN_PLANE_MM, spacing[2])
    axes = torch.tensor(grid.direction, dtype=torch.float64).reshape(3, 3)
    half = torch.tensor([(n - 1) / 2 * s for n, s in zip((*size, image.GetDepth()), new, strict=True)])
    origin = grid.centre - axes @ half.double()
    target = Grid((*size, image.GetDepth()), new, tuple(origin.tolist()), grid.direction)
    return sitk.Resample(smooth, blank(target), sitk.Transform(), sitk.sitkBSpline3, 0.0)


def placed(grid: Grid, affine: Affine) -> Grid:
    """The lattice, turned and shifted with the head."""
    matrix = affine.matrix @ grid.matrix
    axes = matrix[:3, :3] / torch.tensor(grid.spacing, dtype=torch.float64)
    return Grid(grid.size, grid.spacing, tuple(matrix[:3, 3].tolist()), tuple(axes.flatten().tolist()))


def lattice(image: sitk.Image) -> Grid:
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def blank(grid: Grid) -> sitk.Image:
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def centre_of(mask: sitk.Image) -> torch.Tensor:
    stats = sitk.LabelShapeStatisticsImageFilter()
    stats.Execute(mask)
    return torch.tensor(stats.GetCentroid(1), dtype=torch.float64)


def report(truth: Composite, fixed: Grid, head: sitk.Image, error: dict[str, float], out: Path) -> None:
    inside = torch.from_numpy(sitk.GetArrayFromImage(head)) > 0
    moved = truth.displacement(fixed).norm(dim=0)[inside]
    warp = truth.dense.displacement(fixed).norm(dim=0)[inside]
    determinant = jacobian_determinant(truth.dense, fixed)[inside]
    print(f"inside the head: moved {moved.mean():.2f} mm on average, {moved.max():.2f} mm at most;")
    print(f"of it the warp {warp.mean():.2f} and {warp.max():.2f} mm;")
    print(f"its Jacobian determinant {determinant.min():.2f} to {determinant.max():.2f}")
    print(f"inverse's round trip: {error}")
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.name}")


if __name__ == "__main__":
    sys.exit(main())
