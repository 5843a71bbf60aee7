"""The command `register`: two files in, a transform and what else is asked for out."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from ..core.errors import Cancelled, InputError
from .interrupt import Interrupt
from .outputs import Outputs

LARGEST = 1e12  # intensity, as engine.checks


def add_arguments(subparsers, common: argparse.ArgumentParser, _arguments) -> None:
    parser = subparsers.add_parser(
        "register", parents=[common], help="register two images", description="Registers a moving image to a fixed one."
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--fixed", type=Path, required=True, metavar="FILE", help="the image that stays (a file or a DICOM folder)")
    add("--moving", type=Path, required=True, metavar="FILE", help="the image that is brought to it; of a sequence (4D "
        "file) every frame, each with a transform file of its own")  # fmt: skip
    add("--model", metavar="NAME", help="a model (see 'models'), rigid or affine; without it the catalogue chooses")
    starts = "none|centre|moments|search|rigid|affine|network|FILE"
    add("--start", default="moments", metavar=starts, help="the first alignment")
    add("--refine", type=_count, default=0, metavar="N", help="afterwards at most N steps a level (default: 0; 20 do)")
    add("--refine-by", default="mind", metavar="mind|mi|ncc|model", help="what the refinement compares (default: mind)")
    add("--fixed-mask", type=Path, metavar="FILE", help="above zero: the part of the fixed image that counts")
    add("--moving-mask", type=Path, metavar="FILE", help="the same for the moving image")
    add("--fixed-channel", metavar="luminance|length|N", help="what to register of a colour or vector image")
    add("--moving-channel", metavar="luminance|length|N", help="the same for the moving image, written in all channels")
    add("--fixed-frame", type=_count, metavar="N", help="the frame of a sequence, counted from 0")
    add("--moving-frame", type=_count, metavar="N", help="one frame of a sequence instead of all")
    add("--labels", type=Path, metavar="FILE", help="a label map drawn on the moving image, to go with it")
    add("--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", help="where the network runs (default: auto)")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of whatever is random (default: 0)")
    add("--fill", type=_number, metavar="X", help="intensity outside the moving image (default: its background)")
    add("--interpolation", choices=("auto", "linear", "nearest"), default="auto", help="of the output volume; auto is "
        "nearest where the moving file says that it is a label map")  # fmt: skip
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
    add("--translated-style", choices=("fixed", "stored"), default="fixed", help="of the translated image: the fixed "
        "image's own, or the usual one of its modality, which some models keep")  # fmt: skip
    add("--output-labels", type=Path, metavar="FILE", help="the label map on the fixed image (nearest neighbour)")
    add("--report", type=Path, metavar="FILE", help="JSON: versions, parameters, times, memory, similarity, warnings")
    add("--progress", action="store_true", help="print progress on stderr even where nobody watches")


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) <= LARGEST:  # NaN, too, is refused
        raise argparse.ArgumentTypeError(f"{text} is not a finite number that an image can hold")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {(1 << 63) - 1}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def run(options: argparse.Namespace, interrupt: Interrupt) -> int:
    """Everything that can be refused is refused before anything is computed."""
    from ..batch.pair import Pair
    from ..io import count_frames, read_image, read_picture, write_json
    from .results import Results

    inputs = {
        "fixed": options.fixed, "moving": options.moving, "fixed_mask": options.fixed_mask,
        "moving_mask": options.moving_mask, "labels": options.labels,
    }  # fmt: skip
    wanted = {
        "transform": options.output_transform, "inverse": options.output_inverse, "volume": options.output_volume,
        "translated": options.output_translated, "labels": options.output_labels, "report": options.report,
    }  # fmt: skip
    _check_formats(wanted)
    if (options.labels is None) != (options.output_labels is None):
        raise InputError("Options --labels and --output-labels belong together; give both or neither.")
    frames = 1 if options.moving_frame is not None else count_frames(options.moving)
    results = Results(wanted, frames)
    if frames > 1 and options.labels is not None:
        raise InputError(f"The labels can go with one frame only, and {options.moving} has {frames}: "
                         "choose it with --moving-frame.")  # fmt: skip
    outputs = Outputs(results.paths(), [path for path in inputs.values() if path is not None])
    started = datetime.now(UTC)
    start = _start(options.start)
    fixed = read_picture(options.fixed, options.fixed_channel, options.fixed_frame)
    masks = [None if path is None else read_image(path)[0] for path in (options.fixed_mask, options.moving_mask)]
    labels = None if options.labels is None else read_picture(options.labels)
    for number in range(frames):
        frame = options.moving_frame if frames == 1 else number
        moving = read_picture(options.moving, options.moving_channel, frame)
        progress = _printed if options.progress or sys.stderr.isatty() else None
        written = Pair(options, start, fixed, moving, masks, labels).registered(progress, interrupt.wished)
        if outputs.wants("translated") and written.translated is None:
            name = written.report["model"]["name"]
            raise InputError(f"The model '{name}' renders no translated image; leave --output-translated out.")
        results.add(written)
    report = {
        "command": "register", "started": started.isoformat(timespec="seconds"),
        "inputs": {role: str(path) for role, path in inputs.items() if path is not None},
        "outputs": {role: str(path) for role, path in wanted.items() if path is not None}, **results.report(),
    }  # fmt: skip
    if not isinstance(start, str):
        report["inputs"]["start"] = options.start
    writers = {**results.writers(), "report": lambda path: write_json(report, path)}
    with outputs:
        for role, write in writers.items():
            if outputs.wants(role):
                write(outputs.stage(role))
                if interrupt.wished():
                    raise Cancelled()
        paths = outputs.commit()
    _say(report, paths)
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

    return text if text in STARTS else read_transform(text)


def _printed(fraction: float, step: str) -> None:
    print(f"{100 * fraction:3.0f} % {step}", file=sys.stderr, flush=True)


def _say(report: dict, written: list[Path]) -> None:
    for number, one in enumerate(report.get("frames", [report])):
        model, similarity = one["model"], one["similarity"]
        frame = f"Frame {number}: m" if "frames" in report else "M"
        print(f"{frame}odel {model['name']} ({model['reason']}) on {one['machine']['device']}.")
        print(
            f"NMI {similarity['before']:.3f} before, {similarity['start']:.3f} after the start, "
            f"{similarity['after']:.3f} at the end; {one['folds_percent']:.3f} % folds; "
            f"{one['seconds']['total']:.1f} s."
        )
        for note in one["notes"]:
            print(note)
        for warning in one["warnings"]:
            print(f"Warning: {warning}")
    print("Wrote " + ", ".join(map(str, written)) + ".")
