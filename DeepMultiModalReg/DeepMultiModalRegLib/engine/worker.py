"""Worker: a registration in a process of its own, for a panel that must not freeze or die with it.

`main(folder)` reads folder/job.json (written by panel.job, described there), registers, writes folder/result.json and
prints one JSON object a line:
    {"event": "started", "pid": ...}
    {"event": "progress", "fraction": 0..1, "step": "network"}
    {"event": "done"} | {"event": "error", "code": 2|3|4|5, "message": a sentence, "details": traceback}
The exit code is the error's (0 done, as core.errors). It ends by itself when its parent, which holds the other end of
its standard input, is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path

INTERNAL = 5


def tell(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def main(folder: str | os.PathLike) -> int:
    """Does the job in `folder`; returns the exit code."""
    folder = Path(folder)
    _end_with_the_parent(folder)
    tell("started", pid=os.getpid())
    try:
        tell("progress", fraction=0.0, step="loading PyTorch")
        register_job(folder)
    except ImportError as error:
        message = (
            f"The computation cannot start: {error}. Install PyTorch and PyYAML (section Setup of the panel), "
            "then try again."
        )
        return _failed(message, 2)
    except MemoryError:
        return _failed("Memory does not suffice; close other programs, crop or downsample the images.", 3)
    except Exception as error:
        code = getattr(error, "exit_code", INTERNAL)
        reason = " ".join(str(error).split())[:300]
        sentence = str(error) if hasattr(error, "exit_code") else (
            f"Internal error ({type(error).__name__}: {reason}); try other settings, and report the log."
        )  # fmt: skip
        return _failed(sentence, code)
    tell("done")
    return 0


def register_job(folder: Path) -> None:
    """Registers what `folder` describes and writes the result there."""
    import numpy as np

    from .registration import register

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    fixed, moving = (_image(folder, job[role]) for role in ("fixed", "moving"))
    masks = [_image(folder, job[role]) if job.get(role) else None for role in ("fixed_mask", "moving_mask")]
    result = register(
        fixed, moving, model=job.get("model"), start=_start(folder, job.get("start", "moments")),
        refine=job.get("refine", 0), device=job.get("device", "auto"), seed=job.get("seed", 0),
        fixed_mask=masks[0], moving_mask=masks[1],
        progress=lambda fraction, step: tell("progress", fraction=round(fraction, 4), step=step),
        translated=job.get("translated", False), inverse=job.get("inverse", False),
    )  # fmt: skip
    found = {"transform": _written(folder, "transform", result.transform), "report": result.report}
    if result.inverse is not None:
        found["inverse"] = _written(folder, "inverse", result.inverse)
    for name, image, like in (("warped", result.warped, "moving"), ("translated", result.translated, "fixed")):
        if image is not None:
            np.save(folder / f"{name}.npy", _in_pixels(image.tensor[0].numpy(), job[like].get("pixel")))
            found[name] = f"{name}.npy"
    (folder / "result.part").write_text(json.dumps(found), encoding="utf-8")
    os.replace(folder / "result.part", folder / "result.json")


def _image(folder: Path, entry: dict):
    import numpy as np
    import torch

    from ..core import Grid, Image
    from ..core.ras import grid_of_lattice, grid_of_matrix, switched

    array = np.load(folder / entry["file"])
    array = array if array.ndim == 4 else array[None]
    if in_memory := {"uint16": "int32", "uint32": "int64", "uint64": "float64"}.get(array.dtype.name):
        array = array.astype(in_memory)
    if "grid" in entry:
        return Image(torch.from_numpy(array), Grid(**entry["grid"]))
    grid = grid_of_lattice(torch.tensor(entry["ras"], dtype=torch.float64), array.shape[:0:-1])
    parent = switched(torch.tensor(entry["parent"], dtype=torch.float64))
    return Image(torch.from_numpy(array), grid_of_matrix(parent @ grid.matrix, grid.size))


def _start(folder: Path, entry):
    """A start's name, or the transform {"affine": rows, "field": file or null, "grid": ...}; LPS mm, world to world."""
    import numpy as np
    import torch

    from ..core import Affine, Composite, DenseField, Grid, Image

    if isinstance(entry, str):
        return entry
    affine = Affine(torch.tensor(entry["affine"], dtype=torch.float64))
    if not entry.get("field"):
        return affine
    field = Image(torch.from_numpy(np.load(folder / entry["field"])), Grid(**entry["grid"]))
    return Composite(DenseField(field), affine)


def _written(folder: Path, name: str, transform) -> dict:
    """The transform as {"affine": rows, "field": file or None, "grid": {...}}; its field as (D, K, J, I) LPS mm."""
    import numpy as np

    from ..core import split

    dense, affine = split(transform, transform.dimension)
    entry: dict = {"affine": affine.matrix.tolist(), "field": None}
    if dense is not None:
        grid = dense.field.grid
        np.save(folder / f"{name}.npy", dense.field.tensor.detach().cpu().float().numpy())
        entry |= {"field": f"{name}.npy", "grid": {
            "size": grid.size, "spacing": grid.spacing, "origin": grid.origin, "direction": grid.direction,
        }}  # fmt: skip
    return entry


def _in_pixels(array, pixel: str | None):
    if pixel is None:
        return array
    from ..io import PixelInfo

    return PixelInfo(pixel).convert(array)


def _failed(message: str, code: int) -> int:
    tell("error", code=code, message=message, details=traceback.format_exc())
    return code


def _end_with_the_parent(folder: Path) -> None:
    """Nobody waits for the result of a parent that is gone: stop computing and take the files away."""

    def watch() -> None:
        with contextlib.suppress(Exception):
            while sys.stdin.buffer.read(1):
                pass
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(4)

    if sys.stdin is not None and not sys.stdin.isatty():
        threading.Thread(target=watch, daemon=True).start()
