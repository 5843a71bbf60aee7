"""Work: one case from its files to its files, in a worker."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from ..core.errors import InputError

TIMES = ("seconds", "peak_memory_mb")  # of the engine's report: they differ from run to run
QUALITY = 80  # of the JPEG thumbnails


def compute(job: dict, progress: Callable[[float, str], None]) -> dict:
    """Registers what `job` names and writes everything to job["staging"], the report last, all of it on the disk.

    job: {"id", "staging", "paths": {role: path}, "start": name (a path in "paths" goes before it), "model", "refine",
    "asked": the fingerprint}. Returns what differs from run to run: {"seconds": {step: s}, "peak_memory_mb": {...}}.
    Raises what engine.register and io do.
    """
    from ..io import read_image, read_picture, read_transform, write_image, write_json, write_transform
    from ..io.picture import one_channel
    from .pair import Pair

    began = time.perf_counter()
    asked, staging = job["asked"], Path(job["staging"])
    paths = {role: Path(path) for role, path in job["paths"].items()}
    fixed, moving = (read_picture(paths[role]) for role in ("fixed", "moving"))
    masks = [read_image(paths[role])[0] if role in paths else None for role in ("fixed_mask", "moving_mask")]
    start = read_transform(paths["start"]) if "start" in paths else job["start"]
    read = time.perf_counter()
    result = Pair(_options(job), start, fixed, moving, masks, None).registered(progress, lambda: False)
    computed = time.perf_counter()
    suffix = asked["format"]
    write_transform(result.transform, staging / "transform.h5")
    write_image(result.volume, staging / f"warped.{suffix}", result.volume_pixel)
    if result.inverse is not None:
        write_transform(result.inverse, staging / "inverse.h5")
    if result.translated is not None:
        write_image(result.translated, staging / f"translated.{suffix}", result.translated_pixel)
    _draw(fixed.image, {"before": moving.image, "after": one_channel(result.volume, None, "warped", True)[0]}, staging)
    report, times = without_times(result.report)
    files = {path.name: _described(path) for path in sorted(staging.iterdir())}
    write_json(
        {"id": job["id"], "state": "done", "code": 0, "asked": asked, "files": files, **report}, staging / "report.json"
    )
    _to_disk(staging)
    seconds = times.get("seconds", {})
    seconds = seconds if isinstance(seconds, dict) else {"total": seconds}
    whole = {"reading": read - began, **{k: v for k, v in seconds.items() if k != "total"}}
    whole |= {"writing": time.perf_counter() - computed, "total": time.perf_counter() - began}
    return {
        "seconds": {step: round(value, 4) for step, value in whole.items()},
        "peak_memory_mb": times.get("peak_memory_mb"),
    }


def _options(job: dict) -> SimpleNamespace:
    """As the command `register` has them."""
    asked = job["asked"]
    same = {name: asked[name] for name in ("refine_by", "device", "seed", "fill")}
    return SimpleNamespace(
        model=job["model"], refine=job["refine"], interpolation="auto", output_volume=True,
        output_inverse=True if asked["inverse"] else None, output_translated=True if asked["translated"] else None,
        **same,
    )  # fmt: skip


def without_times(report: dict) -> tuple[dict, dict]:
    """(the report without what differs from run to run, at any depth; what was taken from its top)."""
    return _stripped(report), {name: report[name] for name in TIMES if name in report}


def _stripped(data):
    if isinstance(data, dict):
        return {key: _stripped(value) for key, value in data.items() if key not in TIMES}
    return [_stripped(entry) for entry in data] if isinstance(data, list) else data


def _draw(fixed, others: dict, staging: Path) -> None:
    import SimpleITK as sitk

    from .thumbnails import checkerboards

    for name, other in others.items():
        picture = sitk.GetImageFromArray(checkerboards(fixed, other))
        try:
            sitk.WriteImage(picture, str(staging / f"{name}.jpg"), True, QUALITY)
        except RuntimeError as error:
            raise InputError(f"The pictures in {staging.parent} cannot be written; check the space on the disk.") from (
                error
            )


def _described(path: Path) -> dict:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _to_disk(folder: Path) -> None:
    """A report that survives a power failure must not name files that did not."""
    if os.name == "nt":
        return
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
