"""The command `register`: two files in, a transform and what else is asked for out."""

from __future__ import annotations

import argparse
import math
import sys
from datetime import UTC, datetime
from pathlib import Path

from ..core.errors import Cancelled, InputError
from .interrupt import Interrupt
from .outputs import Outputs


def add_arguments(subparsers, common: argparse.ArgumentParser, _arguments) -> None:
    parser = subparsers.add_parser(
        "register", parents=[common], help="register two images", description="Registers a moving image to a fixed one."
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--fixed", type=Path, required=True, metavar="FILE", help="the image that stays (a file or a DICOM folder)")
    add("--moving", type=Path, required=True, metavar="FILE", help="the image that is brought to it")
    add("--model", metavar="NAME", help="a model (see 'models'), rigid or affine; without it the catalogue chooses")
    add("--start", default="moments", metavar="none|centre|moments|rigid|affine|FILE", help="the first alignment")
    add("--refine", type=_count, default=0, metavar="N", help="afterwards at most N steps a level (default: 0; 20 do)")
    add("--refine-by", default="mind", metavar="mind|mi|ncc|model", help="what the refinement compares (default: mind)")
    add("--fixed-mask", type=Path, metavar="FILE", help="above zero: the part of the fixed image that counts")
    add("--moving-mask", type=Path, metavar="FILE", help="the same for the moving image")
    add("--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", help="where the network runs (default: auto)")
    add("--seed", type=int, default=0, metavar="N", help="seed of whatever is random (default: 0)")
    add("--fill", type=_number, metavar="X", help="intensity outside the moving image (default: its background)")
    add(
        "--output-transform",
        type=Path,
        required=True,
        metavar="FILE",
        help=".h5 or .tfm: fixed to moving points, as ITK",
    )
    add("--output-inverse", type=Path, metavar="FILE", help="the inverse transform")
    add("--output-volume", type=Path, metavar="FILE", help="the moving image on the fixed one, in its own pixel type")
    add("--output-translated", type=Path, metavar="FILE", help="the same rendered in the fixed image's modality")
    add("--report", type=Path, metavar="FILE", help="JSON: versions, parameters, times, memory, similarity, warnings")
    add("--progress", action="store_true", help="print progress on stderr even where nobody watches")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def run(options: argparse.Namespace, interrupt: Interrupt) -> int:
    """Everything that can be refused is refused before anything is computed."""
    from ..engine import register
    from ..io import read_image, write_image, write_json, write_transform

    inputs = {
        "fixed": options.fixed, "moving": options.moving, "fixed_mask": options.fixed_mask,
        "moving_mask": options.moving_mask,
    }  # fmt: skip
    wanted = {
        "transform": options.output_transform, "inverse": options.output_inverse, "volume": options.output_volume,
        "translated": options.output_translated, "report": options.report,
    }  # fmt: skip
    _check_formats(wanted)
    outputs = Outputs(wanted, [path for path in inputs.values() if path is not None])
    started = datetime.now(UTC)
    start = _start(options.start)
    fixed, fixed_pixel = read_image(options.fixed)
    moving, moving_pixel = read_image(options.moving)
    masks = [None if path is None else read_image(path)[0] for path in (options.fixed_mask, options.moving_mask)]
    result = register(
        fixed, moving, options.model, start, options.refine, options.device, options.seed, *masks,
        progress=_printed if options.progress or sys.stderr.isatty() else None, cancelled=interrupt.wished,
        fill=options.fill, translated=outputs.wants("translated"), inverse=outputs.wants("inverse"),
        refine_by=options.refine_by,
    )  # fmt: skip
    if outputs.wants("translated") and result.translated is None:
        name = result.report["model"]["name"]
        raise InputError(f"The model '{name}' renders no translated image; leave --output-translated out.")
    report = {
        "command": "register", "started": started.isoformat(timespec="seconds"),
        "inputs": {role: str(path) for role, path in inputs.items() if path is not None},
        "outputs": {role: str(path) for role, path in wanted.items() if path is not None}, **result.report,
    }  # fmt: skip
    if not isinstance(start, str):
        report["inputs"]["start"] = options.start
    writers = {
        "transform": lambda path: write_transform(result.transform, path),
        "inverse": lambda path: write_transform(result.inverse, path),
        "volume": lambda path: write_image(result.warped, path, moving_pixel),
        "translated": lambda path: write_image(result.translated, path, fixed_pixel),
        "report": lambda path: write_json(report, path),
    }
    with outputs:
        for role, write in writers.items():
            if outputs.wants(role):
                write(outputs.stage(role))
                if interrupt.wished():
                    raise Cancelled()
        written = outputs.commit()
    _say(report, written)
    return 0


def _check_formats(wanted: dict[str, Path | None]) -> None:
    """Raises InputError for an output whose name no writer knows, before minutes are spent on computing it."""
    from ..io.image import WRITTEN as IMAGES
    from ..io.image import suffix_of
    from ..io.transform import WRITTEN as TRANSFORMS

    known = {role: TRANSFORMS if role in ("transform", "inverse") else IMAGES for role in wanted} | {
        "report": (".json",)
    }
    for role, path in wanted.items():
        if path is not None and suffix_of(path) not in known[role]:
            raise InputError(f"The output {path} ({role}) must end in one of {', '.join(known[role])}; rename it.")


def _start(text: str):
    """A start's name, or the transform in the file of that name."""
    from ..engine.start import STARTS
    from ..io import read_transform

    return text if text in (*STARTS, "network") else read_transform(text)


def _printed(fraction: float, step: str) -> None:
    print(f"{100 * fraction:3.0f} % {step}", file=sys.stderr, flush=True)


def _say(report: dict, written: list[Path]) -> None:
    model, similarity = report["model"], report["similarity"]
    print(f"Model {model['name']} ({model['reason']}) on {report['machine']['device']}.")
    print(
        f"NMI {similarity['before']:.3f} before, {similarity['start']:.3f} after the start, {similarity['after']:.3f} "
        f"at the end; {report['folds_percent']:.3f} % folds; {report['seconds']['total']:.1f} s."
    )
    for warning in report["warnings"]:
        print(f"Warning: {warning}")
    print("Wrote " + ", ".join(map(str, written)) + ".")
