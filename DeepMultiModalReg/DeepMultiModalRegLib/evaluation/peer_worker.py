"""Runs one peer over a list of pairs in a process of its own: `python peer_worker.py JOBS.json`.

Stands alone (it imports the peer, numpy, and nothing of this library), so that a peer may live in an environment of its
own, its memory is counted apart, and a peer that crashes takes nothing with it. JOBS.json: {"peer": name, "seed": 0,
"threads": n, "jobs": [{"fixed": file, "moving": file, "out": folder}]}. Every job's folder gets what the peer found, as
files in ITK's meaning (fixed points to moving points, LPS mm): affine.mat or affine.json, warp.nii.gz or warp.npy; and
JOBS.json.out gets seconds and CPU seconds (of the peer's call alone, files left out), peak memory and its version.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.metadata
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable

COARSE_VOXELS = 12  # along the shortest axis of a level's image, at least


class Spent(float):
    """Wall seconds of a call; `cpu`: its CPU seconds, user and system, over all threads."""

    cpu: float


def clock() -> tuple[float, float]:
    """Wall and CPU seconds now; `since` takes it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def since(started: tuple[float, float]) -> Spent:
    wall, cpu = clock()
    spent = Spent(wall - started[0])
    spent.cpu = cpu - started[1]
    return spent


def ants(kind: str) -> Callable[[dict, int], Spent]:
    """antspyx with its defaults and Mattes mutual information throughout."""
    import ants as peer

    def run(job: dict, seed: int) -> Spent:
        fixed, moving = peer.image_read(job["fixed"]), peer.image_read(job["moving"])
        prefix = os.path.join(job["out"], "ants_")
        started = clock()
        found = peer.registration(
            fixed,
            moving,
            type_of_transform=kind,
            aff_metric="mattes",
            syn_metric="mattes",
            random_seed=seed + 1,
            outprefix=prefix,
        )
        seconds = since(started)
        for path in found["fwdtransforms"]:
            shutil.move(path, os.path.join(job["out"], "warp.nii.gz" if path.endswith(".nii.gz") else "affine.mat"))
        for path in glob.glob(prefix + "*"):
            os.remove(path)
        return seconds

    return run


def elastix(kinds: tuple[str, ...]) -> Callable[[dict, int], Spent]:
    """itk-elastix with its default parameter maps (Mattes mutual information)."""
    import itk
    import numpy as np

    def run(job: dict, seed: int) -> Spent:
        fixed, moving = itk.imread(job["fixed"], itk.F), itk.imread(job["moving"], itk.F)
        parameters = itk.ParameterObject.New()
        for kind in kinds:
            settings = parameters.GetDefaultParameterMap(kind, 4)
            settings["AutomaticTransformInitialization"] = ["true"]
            settings["AutomaticTransformInitializationMethod"] = ["CenterOfGravity"]
            settings["RandomSeed"] = [str(seed + 1)]
            settings["WriteResultImage"] = ["false"]
            parameters.AddParameterMap(settings)
        started = clock()
        _, found = itk.elastix_registration_method(fixed, moving, parameter_object=parameters, log_to_console=False)
        seconds = since(started)
        field = itk.transformix_deformation_field(moving, found)
        np.save(
            os.path.join(job["out"], "warp.npy"), np.moveaxis(itk.array_from_image(field), -1, 0).astype(np.float32)
        )
        return seconds

    return run


def greedy(deformable: bool) -> Callable[[dict, int], Spent]:
    """picsl-greedy: rigid from the images' centres, affine, then its diffeomorphic stage, all by NMI.

    Straight to the affine, and on coarser levels of a stack of thick slices, it lost pairs by hundreds of millimetres.
    """
    import numpy as np
    from picsl_greedy import Greedy2D, Greedy3D

    def run(job: dict, seed: int) -> Spent:
        peer = (Greedy3D if job["dimension"] == 3 else Greedy2D)()
        threads = f"-threads {os.environ.get('OMP_NUM_THREADS', '1')}"
        pair = f"-i {job['fixed']} {job['moving']} -m NMI {threads}"
        rigid, affine = (os.path.join(job["out"], name) for name in ("rigid.txt", "affine.txt"))
        warp = os.path.join(job["out"], "warp.nii.gz")
        levels, bent = halved(job["shape"], (100, 50, 10)), halved(job["shape"], (100, 100, 50))
        started = clock()
        with open(os.devnull, "w") as nowhere:
            peer.execute(f"{pair} -a -dof 6 -ia-image-centers -n {levels} -o {rigid}", nowhere)
            peer.execute(f"{pair} -a -dof 12 -ia {rigid} -n {levels} -o {affine}", nowhere)
            if deformable:
                peer.execute(f"{pair} -it {affine} -n {bent} -o {warp}", nowhere)
        seconds = since(started)
        matrix = np.loadtxt(affine)
        mirror = np.diag([-1.0, -1.0, 1.0, 1.0] if len(matrix) == 4 else [-1.0, -1.0, 1.0])  # its matrices are in RAS
        with open(os.path.join(job["out"], "affine.json"), "w") as out:
            json.dump((mirror @ matrix @ mirror).tolist(), out)
        return seconds

    return run


def halved(shape: list[int], steps: tuple[int, ...]) -> str:
    """Steps of greedy's levels, coarse to fine, each half as fine as the next: as many levels as leave COARSE_VOXELS
    along the shortest axis; the coarsest one kept has the most steps."""
    levels = 1
    while levels < len(steps) and min(shape) / 2**levels >= COARSE_VOXELS:
        levels += 1
    return "x".join(str(n) for n in (steps[0], *steps[len(steps) - levels + 1 :])[:levels])


def convexadam() -> Callable[[dict, int], Spent]:
    """convexAdam with MIND; needs both images on one lattice. Its voxels along K, J, I become voxels along I, J, K."""
    import numpy as np
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    def run(job: dict, seed: int) -> Spent:
        torch.manual_seed(seed)
        fixed, moving = (
            torch.from_numpy(np.fromfile(os.path.splitext(job[side])[0] + ".raw", np.float32).reshape(job["shape"]))
            for side in ("fixed", "moving")
        )
        started = clock()
        found = convex_adam_pt(fixed, moving, dtype=torch.float32, device=torch.device("cpu"))
        seconds = since(started)
        np.save(os.path.join(job["out"], "voxels.npy"), np.moveaxis(found[..., ::-1], -1, 0).astype(np.float32))
        return seconds

    return run


PEERS: dict[str, tuple[str, Callable[[], Callable[[dict, int], Spent]]]] = {
    "ants-affine": ("antspyx", lambda: ants("Affine")),
    "ants-syn": ("antspyx", lambda: ants("SyN")),
    "elastix-rigid": ("itk-elastix", lambda: elastix(("rigid",))),
    "elastix-affine": ("itk-elastix", lambda: elastix(("rigid", "affine"))),
    "elastix-bspline": ("itk-elastix", lambda: elastix(("rigid", "affine", "bspline"))),
    "greedy-affine": ("picsl_greedy", lambda: greedy(False)),
    "greedy-nmi": ("picsl_greedy", lambda: greedy(True)),
    "convexadam": ("convexAdam", convexadam),
    "convexadam-affine": ("convexAdam", convexadam),  # its images come resampled by the engine's affine: see peers.py
}


def main(path: str) -> None:
    with open(path) as file:
        task = json.load(file)
    package, make = PEERS[task["peer"]]
    with contextlib.redirect_stdout(sys.stderr):
        run = make()
        before = peak_megabytes()
        seconds = []
        for job in task["jobs"]:
            os.makedirs(job["out"], exist_ok=True)
            seconds.append(run(job, task["seed"]))
    version = f"{package} {importlib.metadata.version(package)}"
    if package == "convexAdam":  # what it computes with
        version += f" (torch {importlib.metadata.version('torch')})"
    cpu = [spent.cpu for spent in seconds]
    memory = {"peak_mb": peak_megabytes(), "peak_mb_imported": before}
    answer = {"seconds": seconds, "cpu_seconds": cpu, **memory, "version": version}
    with open(path + ".out", "w") as file:
        json.dump(answer, file)


def peak_megabytes() -> float:
    """Largest resident size of this process. Not getrusage's on Linux: that one starts from the parent's size."""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main(sys.argv[1])
