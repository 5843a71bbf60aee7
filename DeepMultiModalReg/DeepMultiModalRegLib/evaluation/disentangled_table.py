"""The disentangled paper's table: Dice of caudate, putamen and thalamus on slices, T1 to T2 and back, beside SyN and
elastix, with a signed-rank test: `evaluate --experiment disentangled-table`.

What is comparable: the order and the gaps. The paper trained on IXI and tested on slices of PREDICT-HD, to which
nobody has access without asking; its slices, labels and machine are not ours.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..core import RegistrationError, resample
from ..engine import find, load, register
from ..methods.base import Method
from ..methods.disentangled import CONTENT
from . import pictures, table
from .cases import data_folder
from .content_agreement import content_agreement, told_places
from .dice import mean
from .displacement import summary, transform_errors
from .experiment import written
from .folding import folding
from .journal import Journal
from .signed_rank import signed_rank
from .slice_pairs import PIXELS, SOURCES, SPACING, SlicePair, in_words, slice_pairs
from .slice_people import people_pairs
from .slices import Found, by_moments, name_of, network, peer_found
from .structures import FEWEST, NUMBERS, SHOWN, overlap, pairs_that_show

PAPER = (("SyN", 0.645, 6.93), ("elastix", 0.806, 2.81), ("theirs", 0.867, 0.07))  # mean Dice, seconds
PEERS = ("ants-syn", "elastix-bspline")
KINDS = {"brainweb": "BrainWeb, known warps", "albert": "newborns, known warps", "people": "newborns, two people"}
REFINED = {
    "mind": "refined by MIND",
    "mi": "refined by MI",
    "model": "refined by MIND and content",
    "content": "refined by content alone",
}
TOLD = "The place told among 25, up to 4 pixels away in eight directions, by the least difference of features:"
PICTURES = 2  # pairs shown of each group


def run_experiment(options: argparse.Namespace, models: list[str], peers: list[str]) -> int:
    """Prints and writes the table; rows that are there already, made with the same weights and settings, are kept."""
    from .command import about, facts_in_words

    facts = about(options)
    journal = Journal(options.out / "rows.jsonl", resume=options.resume)
    methods = _methods(options, models, peers or list(PEERS))
    rows = []
    for kind in KINDS:
        for turned in (False, True):
            rows += _group(kind, turned, methods, journal, options)
    both = [row for row in rows if "error" not in row]
    parts = [facts_in_words(facts), _explained(options), "### All slices, both directions\n", _table(both)]
    parts += [_tests(both, models), _paper(), _each(both)]
    parts += [_contents(name, options) for name in models if hasattr(load(name).method, "contents")]
    for group in dict.fromkeys(row["group"] for row in rows):
        parts.append(f"### {group}\n\n" + _table([row for row in rows if row["group"] == group]))
    table.write_csv(rows, options.out / "table.csv")
    written(options.out, "table", "\n".join(parts), facts, table.means(rows))
    return 0


def _methods(options, models: list[str], peers: list[str]) -> dict[str, tuple[Callable, dict]]:
    """Title to what makes `Found` of pairs, and what its figures depend on besides them."""
    place = options.device
    methods: dict[str, tuple[Callable, dict]] = {"moments": (lambda pairs: [by_moments(pair) for pair in pairs], {})}
    for name in peers:
        run = lambda pairs, name=name: peer_found(pairs, name, options.seed, options.threads)  # noqa: E731
        methods[name] = (run, {})
    for name in models:
        digest = {"sha256": find(name).weights["sha256"]}
        plain = lambda pairs, name=name: network(pairs, load(name).method, None, "moments", place)  # noqa: E731
        methods[name] = (plain, digest)
        if options.refine:
            described = hasattr(load(name).method, "contents")
            for by, words in REFINED.items() if described else (("mind", REFINED["mind"]),):
                refined = lambda pairs, name=name, by=by: [_refined(p, name, by, options) for p in pairs]  # noqa: E731
                methods[f"{name}, {words}"] = (refined, {**digest, "refine": options.refine, "by": by})
    return methods


def _refined(pair: SlicePair, name: str, by: str, options) -> Found:
    model, measure = load(name), by
    if by == "content":
        model, measure = replace(model, method=_of_contents(model.method)), "model"
    began = time.perf_counter()
    result = register(
        pair.fixed, pair.moving, model=model, refine=options.refine, refine_by=measure, device=options.device,
        seed=options.seed,
    )  # fmt: skip
    return Found(result.transform, time.perf_counter() - began)


def _of_contents(method: Method) -> Method:
    """The same method, whose features to refine by are its contents and nothing else, in the same weight."""
    alone = copy.copy(method)
    alone.features = lambda fixed, moving: tuple(CONTENT * x for x in method.contents(fixed, moving))
    return alone


def _group(kind: str, turned: bool, methods: dict, journal: Journal, options) -> list[dict]:
    source = SOURCES["albert" if kind == "people" else kind]
    source = source.exchanged() if turned else source
    group = f"{KINDS[kind]}, {name_of(source.moving)} onto {name_of(source.fixed)}"
    data = data_folder(options.data)

    def draw(count: int) -> list[SlicePair]:
        if kind == "people":
            return people_pairs(data, count, options.seed, source)
        return slice_pairs(data, count, options.seed, options.deformation, source)

    pairs = pairs_that_show(draw, options.slices)
    common = {key: getattr(options, key) for key in ("slices", "seed", "deformation", "threads")}
    rows: list[dict] = []
    for title, (run, settings) in methods.items():
        made_with = {**common, **settings}
        kept = [journal.kept(f"{group} {pair.name}", title, made_with) for pair in pairs]
        if all(row is not None for row in kept):
            rows += kept
            continue
        try:
            found = run(pairs)
        except RegistrationError as error:
            rows.append({"group": group, "case": "all", "method": title, "error": str(error)})
            continue
        own = [_row(group, title, pair, one) for pair, one in zip(pairs, found, strict=True)]
        for row in own:
            journal.add(row, made_with)
        rows += own
        print(group + ": " + table.markdown(table.means(own), ("method",)).splitlines()[-1], flush=True)
        _pictures(group, title, pairs, found, options.out)
    return rows


def _row(group: str, title: str, pair: SlicePair, found: Found) -> dict:
    grid = pair.fixed.grid
    label_set = next(name for name in NUMBERS if name in pair.labels)
    warped = resample(pair.labels[label_set][1], grid, found.transform, "nearest")
    each = overlap(pair, warped.tensor)
    row = {"group": group, "case": f"{group} {pair.name}", "method": title, "seconds": found.seconds}
    row |= {"dice_six": mean(each), "dice_six_each": each, **folding(found.transform, grid)}
    if pair.truth is not None:
        row["error_mean_mm"] = summary(transform_errors(found.transform, pair.truth, grid, pair.mask))["mean"]
    return row


def _pictures(group: str, title: str, pairs: list[SlicePair], found: list[Found], out: Path) -> None:
    for pair, one in list(zip(pairs, found, strict=True))[:: max(1, len(pairs) // PICTURES)]:
        words = f"{group} {pair.name} {title}".replace(",", "").replace(" ", "-")
        warped = resample(pair.moving, pair.fixed.grid, one.transform)
        pictures.write_png(pictures.panels(pair.fixed, pair.moving, warped, one.transform), out / f"{words}.png")


def _table(rows: list[dict]) -> str:
    """The mean over slices of each method, whatever their group."""
    columns = {key: table.QUALITY[key] for key in ("error_mean_mm", "folds", "log_jacobian_sd")}
    columns = {"dice_six": ("Dice", 3), **columns, "seconds": table.COST["seconds"]}
    own = table.means([{**row, "group": "all"} for row in rows])
    return table.markdown(own, ("method", "cases"), columns)


def _each(rows: list[dict]) -> str:
    """The mean Dice of each structure."""
    names = list(next(iter(NUMBERS.values())))
    lines = ["### Each structure, all slices\n", "| method | " + " | ".join(names) + " |"]
    lines.append("|---|" + "---:|" * len(names))
    for title in dict.fromkeys(row["method"] for row in rows):
        own = [row["dice_six_each"] for row in rows if row["method"] == title]
        cells = [[each[name] for each in own if name in each] for name in names]
        lines.append(f"| {title} | " + " | ".join(f"{sum(c) / len(c):.3f}" if c else "–" for c in cells) + " |")
    return "\n".join(lines) + "\n"


def _tests(rows: list[dict], models: list[str]) -> str:
    """Each of our rows against each peer, slice by slice."""
    by_method: dict[str, dict[str, float]] = {}
    for row in rows:
        by_method.setdefault(row["method"], {})[row["case"]] = row["dice_six"]
    lines = ["Wilcoxon signed-rank test, two-sided, of the slices' mean Dice:\n"]
    lines += ["| ours | against | slices | median difference | better on | p |", "|---|---|---:|---:|---:|---:|"]
    others = [name for name in by_method if name.split(",")[0] not in models and name != "moments"]
    for ours in (name for name in by_method if name.split(",")[0] in models):
        for other in others:
            cases = [case for case in by_method[ours] if case in by_method[other]]
            a, b = ([by_method[name][case] for case in cases] for name in (ours, other))
            if not cases:
                continue
            found = signed_rank(a, b)
            better = sum(x > y for x, y in zip(a, b, strict=True))
            cells = [ours, other, str(len(cases)), f"{found.median:+.3f}", str(better), f"{found.p:.2g}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _contents(name: str, options) -> str:
    """How far a model's contents of both modalities agree, and whether they say where one is."""
    lines = [f"### Contents of T1 and T2: {name}\n"]
    for kind in ("brainweb", "albert"):
        pairs = slice_pairs(data_folder(options.data), options.slices, options.seed, source=SOURCES[kind])
        rows = content_agreement(load(name).method, pairs)
        columns = {"cosine": ("cosine", 3), "l1": ("L1", 3)}
        lines.append(f"{KINDS[kind]}, {len(pairs)} slices:\n\n" + table.markdown(rows, ("images",), columns))
        told = told_places(load(name).method, pairs)
        columns = {"right": ("right place %", 1), "off_mm": ("off mm", 2)}
        lines.append(TOLD + "\n\n" + table.markdown(told, ("features",), columns))
    return "\n".join(lines)


def _paper() -> str:
    lines = ["The paper, its own slices (PREDICT-HD), labels and machine:\n", "| method | Dice | seconds |"]
    lines += ["|---|---:|---:|", *(f"| {name} | {dice:.3f} | {seconds:.2f} |" for name, dice, seconds in PAPER)]
    return "\n".join(lines) + "\n"


def _explained(options) -> str:
    return f"""\
Axial slices of people that no model has seen, of {PIXELS}x{PIXELS} pixels of {SPACING} mm, up to {options.slices} a
group, of those that show at least {SHOWN} of caudate, putamen and thalamus, left and right, with {FEWEST} pixels or
more in both images. Dice: mean over these structures, then over slices. Known warps: both images of one person
(BrainWeb with AAL labels, simulated; newborns 05 and 20 of ALBERT), the moving one under
{in_words(options.deformation)}. Two people: one modality of one newborn, the other of the other, brought together by
an affine transform in three dimensions, then in a random pose in the plane. error: against the known transform, inside
the head. Ours starts from moments; one network serves both directions. Peers: antspyx SyN with Mattes mutual
information, elastix rigid, affine and B-spline with Mattes mutual information, both with an affine stage of their own.
seconds: one pair at a time.
"""
