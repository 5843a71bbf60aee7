"""Registers the forty pairs and prints the table: `python Testing/geometry/run.py [--first N] [--count N]`.

error: |found(x) - true(x)| in mm over points of the phantom that both images show; voxel: cube root of the volume of
the coarser image's voxel. Exit code 0 when the 95th percentile is within half a voxel everywhere, and the warped image
is what SimpleITK makes of the moving one by the written transform.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "DeepMultiModalReg")]

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import torch  # noqa: E402
from lattices import sitk_image  # noqa: E402

from DeepMultiModalRegLib.core import Grid, Image, Transform  # noqa: E402
from DeepMultiModalRegLib.engine import register  # noqa: E402
from DeepMultiModalRegLib.engine.body import covered  # noqa: E402
from DeepMultiModalRegLib.io import write_transform  # noqa: E402
from geometry.cases import PAIRS, Geometry, geometry, lattice, phantom_at  # noqa: E402

WITHIN = 0.5  # voxels


@dataclass(frozen=True)
class Found:
    """In mm. warped: largest difference (99 %) to SimpleITK's resampling, in grey levels of about 1000."""

    motion: float
    mean: float
    p95: float
    voxel: float
    warped: float
    seconds: float

    @property
    def good(self) -> bool:
        return self.p95 <= WITHIN * self.voxel and self.warped < 2.0


def measured(case: Geometry) -> Found:
    began = time.perf_counter()
    result, fixed, moving = _by_nodes(case) if case.needs_slicer else _by_engine(case)
    seconds = time.perf_counter() - began
    generator = torch.Generator().manual_seed(0)
    points = (torch.rand(20_000, 3, generator=generator, dtype=torch.float64) - 0.5) * 120
    points = points[phantom_at(points, 0) > 100]
    true = case.truth.points(points)
    both = covered(fixed.grid, points) & covered(moving.grid, true)
    points, true = points[both], true[both]
    error = (result.transform.points(points) - true).norm(dim=1)
    voxel = max(float(torch.linalg.det(image.grid.matrix).abs()) ** (1 / 3) for image in (fixed, moving))
    motion = float((true - points - (true - points).mean(0)).norm(dim=1).mean() + (true - points).mean(0).norm())
    off = _off_sitk(result.transform, result.warped, fixed.grid, moving, result.report["parameters"]["fill"])
    return Found(motion, float(error.mean()), float(error.quantile(0.95)), voxel, off, seconds)


def _by_engine(case: Geometry):
    """Both images read from their lattices in the world."""
    fixed_grid = lattice(case.fixed, np.zeros(3))
    moving_grid = lattice(case.moving, case.truth.points(torch.zeros(1, 3, dtype=torch.float64))[0].numpy())
    fixed = Image(phantom_at(fixed_grid.points(torch.float64), 0)[None], fixed_grid)
    moving = Image(phantom_at(case.truth.inverse().points(moving_grid.points(torch.float64)), 1)[None], moving_grid)
    return register(fixed, moving, _kind(case), start="moments", device="cpu"), fixed, moving


def _by_nodes(case: Geometry):
    """Volume nodes under parent transforms: what a voxel holds is what lies at its place in the world."""
    from parents import parent_of

    from DeepMultiModalRegLib.io import PixelInfo
    from DeepMultiModalRegLib.mrml import image_from_node, node_from_image, register_nodes
    from DeepMultiModalRegLib.mrml.frames import to_world, transformed
    from DeepMultiModalRegLib.mrml.scene import HeadlessScene

    headless = HeadlessScene()
    nodes = []
    middle = case.truth.points(torch.zeros(1, 3, dtype=torch.float64))[0]
    for name, parent, centre, back in (
        (case.fixed, case.fixed_parent, torch.zeros(3, dtype=torch.float64), None),
        (case.moving, case.moving_parent, middle, case.truth.inverse()),
    ):
        grid = lattice(name, centre.numpy())
        above = parent_of(parent or "none", headless.scene, grid)
        node = node_from_image(Image(torch.zeros((1, *grid.shape)), grid), headless.scene, name)
        node.SetAndObserveTransformNodeID(None if above is None else above.GetID())
        world = transformed(to_world(node), grid.points(torch.float64))
        voxels = phantom_at(world if back is None else back.points(world), 0 if back is None else 1)
        node_from_image(Image(voxels[None], grid), headless.scene, name, node, PixelInfo("float32"))
        node.SetAndObserveTransformNodeID(None if above is None else above.GetID())
        nodes.append(node)
    made = register_nodes(*nodes, model=_kind(case), start="moments", device="cpu", outputVolume=False)
    return made.result, *(image_from_node(node) for node in nodes)


def _kind(case: Geometry) -> str:
    return "affine" if case.motion == "affine" else "rigid"


def _off_sitk(transform: Transform, warped: Image, grid: Grid, moving: Image, fill: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        write_transform(transform, Path(folder) / "t.h5")
        read = sitk.ReadTransform(str(Path(folder) / "t.h5"))
    fixed = sitk_image(Image(torch.zeros((1, *grid.shape)), grid))
    expected = sitk.GetArrayFromImage(sitk.Resample(sitk_image(moving), fixed, read, sitk.sitkLinear, fill))
    return float(np.quantile(np.abs(warped.tensor[0].numpy() - expected), 0.99))


def row(case: Geometry, found: Found) -> str:
    dense = " / ".join(parent or "-" for parent in (case.fixed_parent, case.moving_parent))
    return (
        f"| {case.number} | {case.fixed} | {case.moving} | {dense} | {case.motion} | {found.motion:.1f} | "
        f"{found.mean:.2f} | {found.p95:.2f} | {found.p95 / found.voxel:.2f} | {found.warped:.2f} | "
        f"{found.seconds:.1f} | {'yes' if found.good else 'NO'} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=len(PAIRS))
    options = parser.parse_args()
    print("| | fixed lattice | moving lattice | parents (fixed / moving) | motion | size, mm | mean, mm | 95 %, mm | "
          "95 %, voxels | off SimpleITK | s | within |")  # fmt: skip
    print("|" + "---|" * 12)
    good = 0
    numbers = range(options.first, min(len(PAIRS), options.first + options.count))
    for number in numbers:
        case = geometry(number)
        found = measured(case)
        good += found.good
        print(row(case, found), flush=True)
    print(f"{good} of {len(numbers)} within {WITHIN} voxel.")
    return 0 if good == len(numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
