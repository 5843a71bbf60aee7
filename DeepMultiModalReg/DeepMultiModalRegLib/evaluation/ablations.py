"""The ablations experiment: `evaluate --experiment NAME-ablations` trains a method's variants and measures them on the
same slices or volumes of people that none has seen, beside other methods."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ..core import RegistrationError
from ..engine import find
from ..methods import LOCATING
from . import ablation_volumes, pictures, table
from .ablation import Ablation, read_ablation
from .ablation_runs import Trained, VariantRuns
from .cases import data_folder
from .edge_pictures import edge_sheet
from .experiment import wanted, written
from .journal import Journal
from .slice_pairs import PIXELS, SOURCES, SPACING, SlicePair, in_words, slice_pairs
from .slice_people import people_pairs
from .slices import Found, name_of, network, row_of, runners_of

SUFFIX = "-ablations"
PICTURES = 3  # pairs shown of each group
TRAINED = {  # of a variant's training and its last validation: heading, digits
    "steps": ("steps", 0),
    "seconds": ("training s", 0),
    "dice": ("validation Dice", 3),
    "error_mm": ("validation error mm", 2),
    "commutation": ("commutation", 4),
    "off": ("T off", 3),
    "off_untranslated": ("untranslated", 3),
    "edges_mm": ("edges mm", 2),
    "edges_real_mm": ("edges, real, mm", 2),
}


def run_experiment(options: argparse.Namespace) -> int:
    """Trains the variants that `options.out` does not hold yet, measures them, prints and writes the table; rows that
    are there already, made with the same weights and settings, are kept. Returns the exit code."""
    from .command import about, chosen_models, chosen_peers, facts_in_words

    ablation = read_ablation(options.experiment.removesuffix(SUFFIX))
    models, peers = chosen_models(options.models, dimension=ablation.dimension), chosen_peers(options.peers)
    chosen = wanted([name for name, one in ablation.variants.items() if one.shown], options.only)
    runs = VariantRuns(ablation, options.out, data_folder(options.data), options.device)
    variants = {name: runs.trained(name) for name in chosen}
    if ablation.cases:
        rows = ablation_volumes.measured_rows(ablation, variants, options, models, peers)
        measured, tables = ablation_volumes.explained(ablation), [table.grouped(rows)]
    else:
        rows = measured_rows(ablation, variants, options, models, peers)
        measured, tables = _slices_explained(options), _tables(rows)
        _edges({ablation.variants[name].title: one.method for name, one in variants.items()}, options)
    facts = about(options)
    titles = {name: one.title for name, one in ablation.variants.items()}
    own = [
        {"variant": titles[name], **vars(one), **one.figures, "published": ablation.variants[name].published}
        for name, one in variants.items()
    ]
    columns = {key: TRAINED[key] for key in TRAINED if any(key in row for row in own)}
    text = "\n".join(
        [
            facts_in_words(facts),
            _explained(ablation),
            measured,
            "### Training\n",
            _with_published(table.markdown(own, ("variant",), columns), own),
            *tables,
        ]
    )
    table.write_csv(rows, options.out / "table.csv")
    written(options.out, "table", text, facts, table.means(rows))
    return 0


def measured_rows(
    ablation: Ablation, variants: dict[str, Trained], options: argparse.Namespace, models: list[str], peers: list[str]
) -> list[dict]:
    """Every method on every pair; those of an earlier run are not made again."""
    pairwise = [name for name in models if find(name).method not in LOCATING]
    methods: dict[str, tuple[Callable, dict]] = {
        title: (run, {"sha256": find(title.split(",")[0]).weights["sha256"]} if title.split(",")[0] in models else {})
        for title, run in runners_of(options, pairwise, peers).items()
    }
    truth = methods.pop("truth")
    for name, one in variants.items():
        run = lambda pairs, method=one.method: network(pairs, method, None, "moments", options.device)  # noqa: E731
        methods[ablation.variants[name].title] = (run, {"digest": one.digest})
    methods["truth"] = truth
    journal = Journal(options.out / "rows.jsonl", resume=True)
    common = {"slices": options.slices, "seed": options.seed, "deformation": options.deformation}
    common |= {"surfaces": not options.no_surfaces}
    rows: list[dict] = []
    for kind in ablation.slices_of:
        for turned in (False, True):
            group, draw = _group(kind, turned, options)
            for title, (run, settings) in methods.items():
                if title == "truth" and kind == "people":
                    continue
                own = _rows(group, title, draw, run, {**common, **settings}, journal, options)
                rows += own
                print(group + ": " + table.markdown(table.means(own), ("method",)).splitlines()[-1], flush=True)
    return rows


def _rows(
    group: str, title: str, draw: Callable, run: Callable, made_with: dict, journal: Journal, options
) -> list[dict]:
    names = [f"{group} {n}" for n in range(options.slices)]
    kept = [journal.kept(name, title, made_with) for name in names]
    if all(row is not None for row in kept):
        return kept
    pairs: list[SlicePair] = draw()
    try:
        found: list[Found] = run(pairs)
    except RegistrationError as error:
        return [{"group": group, "case": "all", "method": title, "error": str(error)}]
    rows = []
    for name, pair, one in zip(names, pairs, found, strict=True):
        row = row_of(title, pair, one, not options.no_surfaces) | {"group": group, "case": name}
        journal.add(row, made_with)
        rows.append(row)
    _pictures(group, title, pairs, found, options.out)
    return rows


def _pictures(group: str, title: str, pairs: list[SlicePair], found: list[Found], out: Path) -> None:
    from ..core import resample

    for pair, one in list(zip(pairs, found, strict=True))[:: max(1, len(pairs) // PICTURES)]:
        words = f"{group} {pair.name} {title}".replace(",", "").replace(":", "").replace(" ", "-")
        warped = resample(pair.moving, pair.fixed.grid, one.transform)
        pictures.write_png(pictures.panels(pair.fixed, pair.moving, warped, one.transform), out / f"{words}.png")


def _edges(methods: dict, options: argparse.Namespace) -> None:
    """Pictures of edges, of those that translate: one of BrainWeb, which may be shown, and one of newborns."""
    translators = {title: method.translator for title, method in methods.items() if method.translator is not None}
    data = data_folder(options.data)
    for kind in ("brainweb", "albert"):
        if translators and (data / "test").is_dir():
            slices = [pair.fixed.tensor[None] for pair in slice_pairs(data, 2, source=SOURCES[kind])]
            edge_sheet(slices, translators, options.out / f"edges-{kind}.png")


def _group(kind: str, turned: bool, options: argparse.Namespace) -> tuple[str, Callable[[], list[SlicePair]]]:
    """Its name, and what draws its pairs (once, and only if they are wanted)."""
    source = SOURCES["albert" if kind == "people" else kind]
    source = source.exchanged() if turned else source
    data = data_folder(options.data)
    of = "newborns, two people" if kind == "people" else f"{kind}, known warps"

    @cache
    def draw() -> list[SlicePair]:
        if kind == "people":
            return people_pairs(data, options.slices, options.seed, source)
        return slice_pairs(data, options.slices, options.seed, options.deformation, source)

    return f"{of}, {name_of(source.moving)} onto {name_of(source.fixed)}", draw


def _with_published(markdown: str, rows: list[dict]) -> str:
    """The table with one more column, of text."""
    lines = markdown.splitlines()
    cells = [" published |", "---|", *(f" {row['published']} |" for row in rows)]
    return "\n".join(line + cell for line, cell in zip(lines, cells, strict=True)) + "\n"


def _tables(rows: list[dict]) -> list[str]:
    parts = []
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group]
        parts.append(f"### {group}\n\n" + table.markdown(table.means(own), ("method",)))
    return parts


def _explained(ablation: Ablation) -> str:
    return f"""\
{ablation.words.strip()}

Published figures: {ablation.published_words.strip()}

Training: Dice and the distance to known fields on pairs of people kept aside (synthetic adults and newborns).
commutation: |T(a∘φ) - T(a)∘φ| under fields that were not trained on, grey levels in [0, 1]. T off: |T(a) - b| of
aligned pairs, untranslated: |a - b|. edges: mean distance from the edges of T(a) to the nearest edge of a; real: from
those of the real b. training s: wall seconds on one thread.
"""


def _slices_explained(options: argparse.Namespace) -> str:
    return f"""\
Slices: {options.slices} pairs a table of {PIXELS}x{PIXELS} pixels of {SPACING} mm, axial, of people that no variant has
seen: newborns 05 and 20 of ALBERT, BrainWeb. Known warps: {in_words(options.deformation)}.
Two people: one modality of one and the other of the other, brought together by an affine transform in three
dimensions, then in a random pose in the plane. All variants start from moments. Dice and HD95: mean over the labels
with at least 50 pixels in the slice. error: mean distance to the known transform inside the head.
"""
