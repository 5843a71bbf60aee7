"""The poses experiment: pairs that are aligned by nature, one image put far away, and how many tools bring it back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from ..core import Affine, InputError, RegistrationError
from ..io import write_json, write_text
from .cases import FOLDER, data_folder, read_cases
from .pose_draw import PRESETS, PoseRanges, drawn_pose
from .pose_pair import AlignedPair, errors
from .pose_peer import POSE_PEERS, PosePeer
from .pose_rows import RowFile, markdown, summary
from .pose_tools import Found, Tool, identity, ours, title

LIST = "aligned"  # of pairs, shipped
GROUP = "T1/T2"  # of these, those that the preset affine takes when none is named; the others take all
WITHIN_MM = (2.0, 5.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiment's own options."""
    group = parser.add_argument_group("the poses experiment")
    group.add_argument("--preset", choices=PRESETS, default="affine", help="ranges of the poses (default affine)")
    group.add_argument("--poses", type=int, default=100, metavar="N", help="how many, over all pairs (default 100)")
    group.add_argument(
        "--first", type=int, default=0, metavar="N", help="begin at pose N: two processes share a folder"
    )
    group.add_argument("--rotation", type=float, metavar="DEG", help="instead of the preset's: largest angle")
    group.add_argument("--shift", type=float, metavar="MM", help="largest shift along each axis")
    group.add_argument("--scale", type=float, metavar="SHARE", help="largest scaling: 0.1 is 0.9 to 1.1")
    group.add_argument("--each-axis", action="store_true", help="one scale for each axis instead of one")
    group.add_argument("--pairs", metavar="NAME,...", help=f"of the list (default all; preset affine: {GROUP})")
    group.add_argument("--posing", choices=("resample", "header"), default="resample", help="how an image is posed")
    group.add_argument("--spacing", type=float, default=2.0, metavar="MM", help="voxels of both images (default 2)")


@dataclass(frozen=True)
class Plan:
    """What decides a pose's figures: rows of one file share it."""

    ranges: PoseRanges
    posing: str
    spacing: float
    seed: int
    pairs: tuple[str, ...]


def run_experiment(options: argparse.Namespace, models: list[str], peers: list[str]) -> int:
    """Prints rows as they come, writes poses.csv, poses.json and poses.md; returns the exit code."""
    from .command import about, facts_in_words

    cases = _cases(options)
    plan = Plan(_ranges(options), options.posing, options.spacing, options.seed, tuple(c["name"] for c in cases))
    tools = _tools(options, models, peers)
    file = _row_file(options, plan)
    pairs = Pairs(cases, data_folder(options.data), plan.spacing)
    try:
        for number in range(options.first, options.poses):
            done = {row["tool"] for row in file.rows() if row["pose"] == number}
            missing = {name: tool for name, tool in tools.items() if name not in done}
            if missing:
                for row in pose_rows(pairs.of(number), plan, number, missing):
                    if row["tool"] not in done:
                        file.add(row)
                        done.add(row["tool"])
                        print(_line(row), flush=True)
    finally:
        for tool in tools.values():
            if isinstance(tool, PosePeer):
                tool.close()
    rows = sorted(file.rows(), key=lambda row: row["pose"])
    facts = about(options) | {"plan": asdict(plan)}
    text = facts_in_words(facts) + "\n" + _explained(plan) + "\n" + _tables(rows)
    write_json({"about": facts, "summary": summary(rows, WITHIN_MM), "rows": rows}, options.out / "poses.json")
    write_text(text, options.out / "poses.md")
    print("\n" + markdown(summary(rows, WITHIN_MM), WITHIN_MM))
    return 0


class Pairs:
    """The pairs of a list, each read when its first pose comes."""

    def __init__(self, cases: list[dict], data: Path, spacing: float) -> None:
        self._cases, self._data, self._spacing = cases, data, spacing
        self._rigid = yaml.safe_load((FOLDER / f"{LIST}.yaml").read_text())["rigid"]
        self._read: dict[tuple[str, bool], AlignedPair] = {}

    def of(self, number: int) -> AlignedPair:
        """Pose `number` goes to each pair in turn; every other round the images change roles."""
        described, swapped = self._cases[number % len(self._cases)], number // len(self._cases) % 2 == 1
        key = described["name"], swapped
        if key not in self._read:
            self._read[key] = AlignedPair(described, self._data, swapped, self._spacing, self._rigid)
        return self._read[key]


def pose_rows(pair: AlignedPair, plan: Plan, number: int, tools: dict[str, Tool]) -> Iterator[dict]:
    """Yields the rows of one pose, as each tool ends."""
    centre = pair.head.mean(0)
    drawn = drawn_pose(plan.ranges, pair.aligned.points(centre), plan.seed, number)
    moving, truth = pair.posed(drawn.truth, plan.posing)
    common = {
        "pose": number, "pair": pair.name, "fixed": pair.modalities[0], "moving": pair.modalities[1],
        "rotation_deg": drawn.rotation_deg, "shift_mm": drawn.shift_mm, "scale": drawn.scale,
        "before_mm": errors(Affine.identity(len(centre)), truth, pair.head)["error_mm"],
    }  # fmt: skip
    for name, tool in tools.items():
        try:
            answers = tool(pair.fixed, moving)
        except RegistrationError as error:
            yield common | {"tool": name, "error": str(error)}
            continue
        for row, found in answers.items():
            yield common | {"tool": row} | errors(found.transform, truth, pair.head) | _facts(found)


def _facts(found: Found) -> dict:
    return {
        "seconds": found.seconds, "cpu_seconds": found.cpu_seconds, "version": found.version, "note": found.note,
        "found": " ".join(f"{v:.6f}" for v in found.transform.matrix[:-1].flatten().tolist()),
    }  # fmt: skip


def _cases(options: argparse.Namespace) -> list[dict]:
    if options.cases != options.default_of("cases"):
        cases = read_cases(options.cases)
    else:
        cases = read_cases(LIST)
        if options.preset == "affine" and not options.pairs:
            cases = [case for case in cases if case["group"] == GROUP]
    if not options.pairs:
        return cases
    known = {case["name"]: case for case in cases}
    unknown = [name for name in options.pairs.split(",") if name not in known]
    if unknown:
        raise InputError(f"There is no pair {', '.join(unknown)}; choose of {', '.join(known)}.")
    return [known[name] for name in options.pairs.split(",")]


def _ranges(options: argparse.Namespace) -> PoseRanges:
    given = {"rotation_deg": options.rotation, "shift_mm": options.shift, "scale": options.scale}
    given = {key: value for key, value in given.items() if value is not None}
    return replace(PRESETS[options.preset], each_axis=options.each_axis, **given)


def _tools(options: argparse.Namespace, models: list[str], peers: list[str]) -> dict[str, Tool]:
    tools: dict[str, Tool] = {"identity": identity}
    for start in options.start.split(","):
        for kind in models:
            tools[title(kind, start)] = ours(kind, start, options.device, options.seed)
    return tools | {name: PosePeer(name, options.seed, options.threads) for name in peers}


def chosen_models(names: str) -> list[str]:
    return ["affine", "rigid"] if names == "all" else [] if names == "none" else names.split(",")


def chosen_peers(names: str) -> list[str]:
    return list(POSE_PEERS) if names == "all" else [] if names == "none" else names.split(",")


def _row_file(options: argparse.Namespace, plan: Plan) -> RowFile:
    """The folder's rows. Raises InputError where it holds some and they are not to be gone on with."""
    file, settings = RowFile(options.out / "poses.csv"), options.out / "plan.json"
    wanted = json.loads(json.dumps(asdict(plan)))
    if file.path.is_file():
        if not options.resume:
            raise InputError(f"The folder {options.out} holds poses already; add --resume, or name another folder.")
        if not settings.is_file() or json.loads(settings.read_text()) != wanted:
            raise InputError(f"The poses in {options.out} were drawn otherwise (plan.json); name another folder.")
    write_json(wanted, settings)
    file.begin()
    return file


def _tables(rows: list[dict]) -> str:
    parts = ["## All pairs\n", markdown(summary(rows, WITHIN_MM), WITHIN_MM)]
    for pair in dict.fromkeys(row["pair"] for row in rows):
        own = [row for row in rows if row["pair"] == pair]
        parts += [f"## {pair}\n", markdown(summary(own, WITHIN_MM), WITHIN_MM)]
    return "\n".join(parts)


def _explained(plan: Plan) -> str:
    ranges = plan.ranges
    scaling = "one for each axis" if ranges.each_axis else "the same along all axes"
    posing = (
        "read anew on the moving image's own axes, on a lattice grown until it holds the posed head"
        if plan.posing == "resample"
        else "posed by its header alone (origin, axes, spacing)"
    )
    return f"""\
Pairs: {", ".join(plan.pairs)}, each pose on the next pair, the images' roles changed every other round; voxels of at
least {plan.spacing:g} mm (thicker slices stay). Seed {plan.seed}. Poses about the fixed head's middle: rotation by
up to {ranges.rotation_deg:g}° about an axis drawn evenly from the sphere, the angle drawn evenly; shift up to
±{ranges.shift_mm:g} mm along each axis; scale up to ±{100 * ranges.scale:g} %, {scaling}. The moving image is
{posing}.

within: poses with a mean error of at most so much over the fixed head's voxels, in the moving image, with Wilson's
95 % interval; what failed counts as not recovered. > 45°, > 135°: answers turned from the truth by more. mirrored:
answers with a negative determinant. seconds, CPU s: medians; ours to the warped image and report, peers' call alone.
"""


def _line(row: dict) -> str:
    figure = row["error"] if row.get("error") else f"{row['error_mm']:.2f} mm of {row['before_mm']:.1f}"
    return f"{row['pose']:4d} {row['pair']:10s} {row['tool']}: {figure}"
