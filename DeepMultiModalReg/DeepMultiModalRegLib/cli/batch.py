"""The command `batch`: a list of pairs, unattended."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..core.errors import InputError
from .interrupt import Interrupt
from .register import _count, _number

FORMATS = ("nrrd", "nii.gz", "nii", "mha", "png")


def add_arguments(subparsers, common: argparse.ArgumentParser, _arguments) -> None:
    parser = subparsers.add_parser(
        "batch", parents=[common], help="register a list of pairs",
        description="Registers every pair of a CSV list: columns fixed and moving, and if wanted fixed_mask, "
        "moving_mask, model, start, refine, id; relative paths count from the list's folder. A case that fails is "
        "recorded and the others go on.",
    )  # fmt: skip
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("list", type=Path, metavar="cases.csv", help="the list")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the results: new, empty, or by --resume")
    add("--resume", action="store_true", help="go on in DIR: finished cases whose inputs are the same are kept")
    add("--jobs", type=_one_or_more, metavar="N", help="worker processes (default: one a core, as memory allows)")
    add("--threads", type=_one_or_more, metavar="N", help="of each worker (default: 1; on a GPU all cores)")
    add("--model", metavar="NAME", help="for rows that name none; without it the catalogue chooses for each pair")
    add("--start", default="moments", metavar="none|centre|moments|rigid|affine|FILE", help="for rows that name none")
    add("--refine", type=_count, default=0, metavar="N", help="for rows that name none (default: 0; 20 do)")
    add("--refine-by", default="mind", metavar="mind|mi|ncc|model", help="what the refinement compares")
    add("--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", help="where the networks run (default: auto)")
    add("--seed", type=int, default=0, metavar="N", help="seed of whatever is random (default: 0)")
    add("--fill", type=_number, metavar="X", help="intensity outside the moving image (default: its background)")
    add("--inverse", action="store_true", help="write the inverse transforms too")
    add("--translated", action="store_true", help="write the moving images rendered in the fixed one's modality too")
    add("--format", default="nrrd", choices=FORMATS, help="of the written images (default: nrrd, which holds all)")
    add("--json", action="store_true", help="events as JSON lines on standard output, for programs")


def run(options: argparse.Namespace, interrupt: Interrupt) -> int:
    """Everything that can be refused is refused before the first case is computed."""
    from ..batch.case import Settings
    from ..batch.folder import BatchFolder
    from ..batch.listing import read_list
    from ..batch.pool import cores, sensible_jobs
    from ..batch.runner import Batch
    from ..engine.device import choose_device
    from ..engine.refinement.levels import check_measure
    from ..engine.start import STARTS

    check_measure(options.refine_by)
    on_gpu = choose_device(options.device).type != "cpu"
    names = (*STARTS, "network")
    start_file = options.start not in names
    start = str(Path(options.start).absolute()) if start_file else options.start
    if start_file and not Path(start).is_file():
        raise InputError(f"The start '{options.start}' is neither a known start ({', '.join(STARTS)}) nor a file.")
    cases, warnings = read_list(options.list, options.model, start, start_file, options.refine, names)
    jobs = options.jobs or sensible_jobs(len(cases), options.threads or 1, on_gpu)
    settings = Settings(
        options.refine_by, options.device, options.seed, options.fill, options.inverse, options.translated,
        options.format, options.threads or (max(1, cores() // jobs) if on_gpu else 1),
    )  # fmt: skip
    folder = BatchFolder(options.out)
    say = _as_json if options.json else Told(options.out, sys.stderr)
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    code = Batch(cases, folder, settings, jobs, say, interrupt.wished).run(options.resume)
    left = folder.strangers(cases)
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        print(f"Not in this list, and left as they are: {', '.join(left[:3])}{more}.", file=sys.stderr)
    return code


def _one_or_more(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _as_json(event: dict) -> None:
    print(json.dumps(event), flush=True)


class Told:
    """Events in words: one line a case on `stream`, and the running ones on a line that changes where somebody
    watches; what came out, on standard output."""

    def __init__(self, out: Path, stream) -> None:
        self._out, self._stream = out, stream
        self._watched = bool(getattr(stream, "isatty", bool)())  # Slicer's stream has no such question
        self._open = False

    def __call__(self, event: dict) -> None:
        getattr(self, f"_{event['event']}")(event)

    def _started(self, event: dict) -> None:
        already = f", {event['finished']} of them finished before" if event["finished"] else ""
        jobs = event["jobs"]
        self._line(f"{event['cases']} cases{already}; {jobs} worker{'s' if jobs > 1 else ''}.")

    def _progress(self, event: dict) -> None:
        if self._watched:
            running = "; ".join(f"{_short(one)} {100 * part:.0f} % {step}" for one, part, step in event["running"])
            self._stream.write(f"\r\x1b[K[{event['done']}/{event['cases']}] {running}{_left(event)}"[:160])
            self._stream.flush()
            self._open = True

    def _case(self, event: dict) -> None:
        if event["state"] == "done":
            report = event["report"]
            words = f"NMI {report['similarity']['before']:.3f} -> {report['similarity']['after']:.3f}"
            words += f", {report['folds_percent']:.3f} % folds, {event['seconds']:.1f} s"
            words += "".join(f"; warning: {warning}" for warning in report["warnings"])
        else:
            words = f"failed ({event['code']}): {event['sentence']}"
        self._line(f"[{event['done']}/{event['cases']}] {_short(event['id'])}: {words}{_left(event)}")

    def _finished(self, event: dict) -> None:
        done, failed, doubtful = event["cases"] - event["failed"], event["failed"], event["doubtful"]
        counts = f"{done} of {event['cases']} cases done, {failed} failed; {doubtful} of the done are doubtful."
        print(f"{counts} Look at {self._out / 'index.html'}.", flush=True)

    def _line(self, words: str) -> None:
        self._stream.write(("\r\x1b[K" if self._open else "") + words + "\n")
        self._stream.flush()
        self._open = False


def _left(event: dict) -> str:
    from ..batch.clock import in_words

    words = in_words(event["remaining"]) if event["done"] < event["cases"] else ""
    return f"; {words}" if words else ""


def _short(name: str) -> str:
    from ..batch.names import shown

    return shown(name, 40)
