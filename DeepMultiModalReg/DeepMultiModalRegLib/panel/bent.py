"""Bent: volumes, masks or starts under transforms that bend space, and volumes of several channels. Only `mrml` can
read these exactly, so torch comes into this process and the window may wait a few seconds; the registration itself runs
in the child all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from .job import Job


def prepare(job: Job, fixed, moving, settings) -> Iterator[None]:
    """Writes the job from images in the world; returns the mrml.register.Task that takes the result."""
    import torch

    from ..core import split
    from ..mrml.register import prepare

    yield
    wanted = settings.outputs()
    task = prepare(
        fixed, moving, settings.start, settings.fixedMask, settings.movingMask,
        wanted["transform"], wanted["volume"], wanted["inverse"], wanted["translated"],
    )  # fmt: skip
    for role in ("fixed", "moving", "fixed_mask", "moving_mask"):
        image = getattr(task, role)
        if image is not None:
            yield from job.place(role, image.tensor.numpy(), {"grid": asdict(image.grid)})
    start = task.start
    if not isinstance(start, str):
        dense, affine = split(start, 3)
        entry: dict = {"affine": affine.matrix.tolist(), "field": None}
        if dense is not None:
            yield from job.place("start_field", dense.field.tensor.to(torch.float32).numpy(), {})
            entry |= {"field": "start_field.npy", "grid": asdict(dense.field.grid)}
        start = entry
    job.set(start=start)
    return task


def deliver(job: Job, task, found: dict):
    """The result into the scene, through the parents that bend space."""
    import numpy as np
    import torch

    from ..core import Affine, Composite, DenseField, Grid, Image
    from ..engine import Result
    from ..mrml.register import deliver
    from .registration import Outcome

    def transform(entry: dict | None):
        if not entry:
            return None
        affine = Affine(torch.tensor(entry["affine"], dtype=torch.float64))
        if not entry["field"]:
            return affine
        tensor = torch.from_numpy(np.array(job.array(entry["field"])))
        return Composite(DenseField(Image(tensor, Grid(**entry["grid"]))), affine)

    def image(name: str | None):
        return None if not name else Image(torch.from_numpy(np.array(job.array(name)))[None], task.fixed.grid)

    result = Result(
        transform(found["transform"]), image(found["warped"]), found["report"], transform(found.get("inverse")),
        image(found.get("translated")),
    )  # fmt: skip
    done = deliver(task, result)
    return Outcome(done.transformNode, done.volumeNode, done.inverseNode, done.translatedNode, done.report)
