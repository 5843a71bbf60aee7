"""Peers: other registration tools over the same pairs, each in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..core import (
    Affine,
    Composite,
    DenseField,
    Grid,
    Image,
    InputError,
    RegistrationError,
    Transform,
    compose,
    resample,
)
from ..engine.foreground import background
from ..io import read_transform
from ..io.image import sitk_from
from ..waiting import PATIENT
from .peer_worker import PEERS

WORKER = Path(__file__).with_name("peer_worker.py")
ON_ONE_LATTICE = {"convexadam", "convexadam-affine"}  # peers that take arrays, not images in space
STARTED = {"convexadam-affine"}  # peers that are given an affine start: the engine's
PLANAR = set(PEERS) - ON_ONE_LATTICE
UNEVEN = 1.2  # ratio of voxel sides above which arrays get cubic voxels: such a peer takes them for cubes


class MissingPeerError(RegistrationError):
    """The peer's package is not installed."""


@dataclass(frozen=True)
class PeerResult:
    """transform: fixed LPS mm to moving LPS mm. seconds, cpu_seconds: the peer's own call, files left out."""

    transform: Transform
    seconds: float
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class PeerRun:
    """peak_mb: of the peer's process, over all pairs; version: package and number; startup_seconds: wall seconds of its
    process outside the calls, over all pairs: starting, imports, files."""

    results: list[PeerResult]
    peak_mb: float
    version: str
    startup_seconds: float = 0.0


def run_peer(
    name: str,
    pairs: list[tuple[Image, Image]],
    seed: int = 0,
    threads: int = 1,
    starts: list[Affine] | None = None,
) -> PeerRun:
    """Registers each (fixed, moving), both of one channel, with the peer `name`.

    starts: for a peer of STARTED, one for each pair (fixed to moving LPS mm); the result contains it.

    The Python that runs it is $DEEPMULTIMODALREG_PEERS_PYTHON where set, else this one.
    Raises InputError for an unknown name, MissingPeerError where its package is not
    installed, RegistrationError where it fails.
    """
    if name not in PEERS:
        raise InputError(f"The peer '{name}' is not one of {', '.join(PEERS)}.")
    if name not in PLANAR and any(fixed.grid.dimension == 2 for fixed, _ in pairs):
        raise InputError(f"The peer '{name}' registers volumes only; leave it out for slices.")
    if (starts is not None) != (name in STARTED):
        raise InputError(f"The peer '{name}' needs an affine start." if starts is None else f"'{name}' takes no start.")
    given = [None] * len(pairs) if starts is None else starts
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        jobs = [
            _job(Path(folder) / str(n), name, fixed, moving, start)
            for n, ((fixed, moving), start) in enumerate(zip(pairs, given, strict=True))
        ]
        task = Path(folder) / "jobs.json"
        task.write_text(json.dumps({"peer": name, "seed": seed, "jobs": jobs}))
        began = time.perf_counter()
        answer = _work(name, task, threads)
        outside = time.perf_counter() - began - sum(answer["seconds"])
        cpu = answer.get("cpu_seconds", [0.0] * len(jobs))
        results = []
        for job, seconds, used, (fixed, _), start in zip(jobs, answer["seconds"], cpu, pairs, given, strict=True):
            found = _found(Path(job["out"]), _lattice(name, fixed.grid))
            found = found if start is None else compose(start, found, fixed.grid)
            results.append(PeerResult(found, seconds, used))
    return PeerRun(results, answer["peak_mb"], answer["version"], outside)


def _lattice(name: str, grid: Grid) -> Grid:
    """The lattice that the peer works on: the fixed image's; of cubes for one that takes its arrays for such."""
    if name not in ON_ONE_LATTICE or max(grid.spacing) <= UNEVEN * min(grid.spacing):
        return grid
    side = math.prod(grid.spacing) ** (1 / grid.dimension)
    return grid.respaced((side,) * grid.dimension)


def _job(folder: Path, name: str, fixed: Image, moving: Image, start: Affine | None = None) -> dict:
    folder.mkdir()
    if name in ON_ONE_LATTICE:
        grid = _lattice(name, fixed.grid)
        moving = resample(moving, grid, start, "linear", background(moving))
        fixed = fixed if grid is fixed.grid else resample(fixed, grid, None, "linear", background(fixed))
    for side, image in (("fixed", fixed), ("moving", moving)):
        # MetaImage with its voxels in a plain file: every peer reads it, exactly and without unpacking
        sitk.WriteImage(sitk_from(image.tensor[:1].float().numpy(), image.grid), str(folder / f"{side}.mhd"), False)
    return {
        "fixed": str(folder / "fixed.mhd"),
        "moving": str(folder / "moving.mhd"),
        "out": str(folder / "out"),
        "dimension": fixed.grid.dimension,
        "shape": fixed.grid.shape,
    }


def _work(name: str, task: Path, threads: int) -> dict:
    python = os.environ.get("DEEPMULTIMODALREG_PEERS_PYTHON", sys.executable)
    count = str(threads)
    environment = {
        **os.environ,
        **PATIENT,
        "OMP_NUM_THREADS": count,
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": count,
    }
    # in the task's folder: elastix leaves a file where it stands
    done = subprocess.run(
        [python, str(WORKER), str(task)], env=environment, capture_output=True, text=True, cwd=task.parent
    )
    answer = Path(f"{task}.out")
    if done.returncode == 0 and answer.is_file():
        return json.loads(answer.read_text())
    last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"exit code {done.returncode}"]
    if "ModuleNotFoundError" in last[0]:
        raise MissingPeerError(
            f"The peer '{name}' is not installed ({PEERS[name][0]}); `pip install {PEERS[name][0]}` adds it."
        )
    raise RegistrationError(f"The peer '{name}' failed: {last[0]}")


def _found(folder: Path, grid: Grid) -> Transform:
    """What the peer left in its folder, as one transform: dense part first, then the affine part."""
    affine, dense = None, None
    if (folder / "affine.mat").is_file():
        affine = read_transform(folder / "affine.mat")
    elif (folder / "affine.json").is_file():
        affine = Affine(torch.tensor(json.loads((folder / "affine.json").read_text()), dtype=torch.float64))
    if (folder / "warp.nii.gz").is_file():
        dense = read_transform(folder / "warp.nii.gz")
    elif (folder / "warp.npy").is_file():
        dense = DenseField(Image(torch.from_numpy(np.load(folder / "warp.npy")), grid))
    elif (folder / "voxels.npy").is_file():
        voxels = torch.from_numpy(np.load(folder / "voxels.npy"))
        dense = DenseField(Image(torch.einsum("ri,i...->r...", grid.matrix[:-1, :-1].float(), voxels), grid))
    if dense is None and affine is None:
        raise RegistrationError("The peer ended without a result.")
    return affine if dense is None else Composite(dense, affine)
