"""The equivariant paper's tables 2, 3 and 4, trained and measured again: `evaluate --experiment equivariant-table2`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core import Affine, Grid, Image, RegistrationError, Transform
from ..engine import register
from ..engine.network_start import BELIEVED_MM
from ..networks.posing import moved
from ..training.equivariant_looks import INSIDE
from ..training.equivariant_poses import CANVAS, FOUND, RANGES, occluded, wholly_moved
from ..training.equivariant_train import SliceSet, prepare, trainer
from ..training.run_folder import CHECKPOINT
from ..training.train import data_folder, read_config
from .equivariance import PoseErrors, pose_errors
from .equivariance_rows import NETWORKS, ROWS, TABLES, WEIGHTS, Row
from .experiment import trained, wanted, written
from .peers import MissingPeerError, run_peer

CONFIG = "equivariant-t2-brain-2d"
DRAWS = 40  # poses of every held-out image: what is turned wrongly in one of twenty is known to a third of a percent
CLASSICAL = 40  # trials of a classical tool
TEST_SEED = 9
MUCH = 0.5  # share of the head in view from which a pose counts as one with much of it


def run_experiment(options: argparse.Namespace) -> int:
    """Trains the rows of a table that `options.out` does not hold yet, measures all, prints and writes the table.

    Stopped, it goes on where it was. A row that begins with another one's weights trains that one first.
    """
    from .command import about, facts_in_words

    number = int(options.experiment.removeprefix("equivariant-table"))
    config = read_config(CONFIG)
    slices = prepare(config, data_folder())
    lines, figures = [], {}
    for name in wanted(TABLES[number], options.only):
        row = ROWS[name]
        try:
            found = _measured(name, config, slices, options)
        except MissingPeerError as error:
            print(f"{row.title}: {error}", flush=True)
            continue
        figures[name] = found
        lines.append(_line(row, figures[name]))
        print(lines[-1], flush=True)
    facts = about(options)
    text = "\n".join([facts_in_words(facts), explained(config, slices, number), HEAD, *lines, ""])
    written(options.out, f"table{number}", text, facts, figures)
    return 0


def of_row(config: dict, row: Row) -> dict:
    """The configuration with the row's network in the place of the shipped model's."""
    return config | {"settings": {"shape": config["settings"]["shape"], **NETWORKS[row.head]}}


def trained_weights(name: str, config: dict, slices: SliceSet, out: Path) -> tuple[dict, float, int]:
    """A row's weights, its seconds and its steps; trained in `out`/NAME unless they are there already."""

    def make(row: str, begin: dict | None):
        return trainer(of_row(config, ROWS[row]), slices, ROWS[row].stages, WEIGHTS, out / row, begin)

    if ROWS[name].head == "dense" and not all(_through(out / row, ROWS[row]) for row in _chain(name)):
        slices = prepare(config, data_folder(), many=True)
    weights, seconds = trained(name, {key: row.begin for key, row in ROWS.items()}, make)
    return weights, seconds, sum(stage["steps"] for stage in ROWS[name].stages)


def _chain(name: str | None) -> list[str]:
    """A row and those it begins with."""
    return [] if name is None else [name, *_chain(ROWS[name].begin)]


def _through(folder: Path, row: Row) -> bool:
    """Whether a row's training is done, so that its slices are not needed."""
    checkpoint = folder / CHECKPOINT
    return not row.stages or (
        checkpoint.is_file() and torch.load(checkpoint, weights_only=True)["stage"] == len(row.stages)
    )


@dataclass(frozen=True)
class Trials:
    """images: (N, 1, *shape) held-out images under random poses b (N, 3, 3); seen: (N,) the share of each one's head
    that they show."""

    images: Tensor
    b: Tensor
    seen: Tensor

    def some(self, count: int) -> Trials:
        """`count` of them, evenly from all."""
        chosen = torch.linspace(0, len(self.b) - 1, min(count, len(self.b))).long()
        return Trials(self.images[chosen], self.b[chosen], self.seen[chosen])


def trials(row: Row, slices: SliceSet, unit: float, draws: int = DRAWS) -> Trials:
    """The same for every row of the same test."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    images = slices.held_out.images.flatten(0, 1)[:, None]
    poses = RANGES[row.ranges].draw(draws * len(images), unit, generator)  # the same with and without occlusions
    posed = [_posed(images, b, row, unit, generator) for b in poses.split(len(images))]  # in parts: pictures are large
    return Trials(*(torch.cat([getattr(one, key) for one in posed]) for key in Trials.__dataclass_fields__))


def _posed(images: Tensor, b: Tensor, row: Row, unit: float, generator: torch.Generator) -> Trials:
    """Each of the images once."""
    head = (images > INSIDE).float()
    both = torch.cat([images, head], 1)
    if row.whole:
        shown, left = wholly_moved(occluded(both, row.occlusion, generator), b, unit).split(1, 1)
    else:
        shown, left = occluded(moved(both, b, unit), row.occlusion, generator).split(1, 1)
    area = torch.linalg.det(b[:, :2, :2]) * left.sum((1, 2, 3))
    return Trials(shown.clone(), b, area / head.sum((1, 2, 3)))  # a copy, so that what was left of the head is freed


def _measured(name: str, config: dict, slices: SliceSet, options: argparse.Namespace) -> dict:
    """A row's figures."""
    row = ROWS[name]
    shape, spacing = tuple(config["settings"]["shape"]), config["working"]["spacing"]
    unit = max(shape) / 2
    test, believed = trials(row, slices, unit), None
    if row.peer is not None:
        test = test.some(CLASSICAL)
        kept = options.out / name / "answers.pt"
        said = torch.load(kept, weights_only=True) if kept.is_file() else None
        if said is None or not torch.equal(said["b"], test.b):  # of other poses they say nothing
            found, seconds = _classical(row.peer, slices.references[0], test.images, spacing, unit, options)
            said = {"b": test.b, "found": found, "seconds": seconds}
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save(said, kept)
        found, effort = said["found"], {"seconds_a_pair": said["seconds"]}
    else:
        weights, seconds, steps = trained_weights(name, config, slices, options.out)
        method = trainer(of_row(config, row), slices, [], {}, options.out / name, weights).method.eval()
        with torch.no_grad():
            said = [method.doubted(part) for part in test.images.split(64)]
        found, doubt = (torch.cat(parts) for parts in zip(*said, strict=True))
        effort = {"steps": steps, "cpu_seconds": seconds}
        if method.dense:
            believed = doubt * unit * spacing <= BELIEVED_MM
    errors = pose_errors(found, test.b, shape, unit, spacing)
    much = test.seen >= MUCH
    figures = {"trials": len(test.b), "much_seen": int(much.sum()), "theta_45_much": _wrong(errors, much)}
    if believed is not None:
        figures |= {"believed": int(believed.sum()), "theta_45_believed": _wrong(errors, believed)}
    return errors.summary() | figures | effort


def _wrong(errors: PoseErrors, chosen: Tensor) -> float:
    """% of the chosen ones that are turned by over 45 degrees."""
    return 100 * (errors.rotation[chosen] > 45).double().mean().item()


def _classical(peer: str, template: Tensor, images: Tensor, spacing: float, unit: float, options):
    """R of every image as a pairwise tool finds it, the template fixed; and its median seconds."""
    lattice = Grid.regular(images.shape[:1:-1], spacing)
    fixed = Image(template, lattice)
    pairs = [(fixed, Image(image, lattice)) for image in images]
    if peer == "affine":
        results = [register(*pair, model="affine", seed=options.seed) for pair in pairs]
        found = [(result.transform, result.report["seconds"]["total"]) for result in results]
    else:
        done = run_peer(peer, pairs, options.seed, options.threads)
        found = [(result.transform, result.seconds) for result in done.results]
    matrices = torch.stack([_matrix(transform, lattice) for transform, _ in found]).float()
    matrices[:, :2, 2] /= unit * spacing
    return matrices, float(torch.tensor([seconds for _, seconds in found]).median())


def _matrix(transform: Transform, lattice: Grid) -> Tensor:
    """(3, 3), mm: of an affine transform, or the least-squares one of a field that samples one."""
    if isinstance(transform, Affine):
        return transform.matrix
    x = lattice.points(torch.float64).reshape(-1, 2)
    ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    rows = torch.linalg.lstsq(ones, transform.points(x)).solution.T
    if not torch.isfinite(rows).all():
        raise RegistrationError("The peer's transform is not finite.")
    return torch.cat([rows, rows.new_tensor([[0.0, 0.0, 1.0]])])


HEAD = (
    "| row | Mat_err | θ>45° % | θ>90° % | θ>45° %, half in view (n) | θ>45° %, not in doubt (n) "
    "| grid error mm, mean (median) | steps (CPU s) | paper: Mat_err | paper: θ>45° % |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def _line(row: Row, figures: dict) -> str:
    if row.peer is None and not row.stages:
        effort = "those of that row"
    elif row.peer is None:
        after = f", after {ROWS[row.begin].title}" if row.begin else ""
        effort = f"{figures['steps']} ({figures['cpu_seconds']:.0f}){after}"
    else:
        effort = f"– ({figures['seconds_a_pair']:.2f} s a pair, {figures['trials']} trials)"
    sure = f"{figures['theta_45_believed']:.2f} ({figures['believed']})" if "believed" in figures else "–"
    return (
        f"| {row.title} | {figures['mat_err']:.2f} ± {figures['mat_err_sd']:.2f} | {figures['theta_45']:.2f} "
        f"| {figures['theta_90']:.2f} | {figures['theta_45_much']:.2f} ({figures['much_seen']}) | {sure} "
        f"| {figures['grid_mm']:.1f} ({figures['grid_median_mm']:.1f}) | {effort} "
        f"| {row.paper[0]} | {row.paper[1]} |"
    )


def explained(config: dict, slices: SliceSet, number: int) -> str:
    """What the table's figures mean and what differs from the paper."""
    row = ROWS[TABLES[number][0]]
    ranges = RANGES[row.ranges]
    people = len(set(slices.training.names)), len(set(slices.held_out.names))
    return f"""\
Table {number} of Hachicha, Le, Wargnier-Dauchelle, Sdika, MILLanD 2023, on our slices: {len(slices.training)} anatomies
made from {people[0]} subjects to train on, {len(slices.held_out)} from {people[1]} others to test, each as T1 and T2,
109x91 pixels of 2 mm, mid-axial; every test image under {DRAWS} poses: ±{ranges.translation} px, ±{ranges.rotation}°,
shear ±{100 * ranges.shear:.0f} %, scale ±{100 * ranges.scale:.0f} %. All slices lie in the template's frame (brain's
middle and covariance from labels, orientation from the header; newborns thereby at an adult's size), so that
R(I∘B) = B⁻¹ is the truth. In training they are found up to ±{FOUND.translation} px, ±{FOUND.rotation}° and
±{100 * FOUND.scale:.0f} % from it, the same throughout; only the supervised rows know by how much. Warm start (ours):
|B∘R(I∘B) - Id|² on slices as found, which tells which way is up; rows "from nothing" go without. Mat_err: Frobenius
norm of B∘R(I∘B) - Id, translations in half images (54.5 px); the paper's unit is not known to us, so compare rows, not
figures, across the bar. Poses of D0 and D1-far are shift ∘ turn ∘ shear ∘ scale; of D1 turn ∘ shear ∘ scale ∘ shift,
where the shift counts in the posed picture's pixels, which shows the slice's middle no further from its own (which
of them the paper means is not known to us; D1-far has D1's numbers). "Nothing cut off": the same poses on a picture
{CANVAS} times as large, which holds every head; occlusions are then put on the slice. All poses count; "half in view":
those leaving at least {100 * MUCH:.0f} % of the head visible; "not in doubt": those of which the network itself
expects its answer to be off by at most {BELIEVED_MM:.0f} mm, beyond which the start `network` does not use it. Rows
of the dense head learn from more anatomies of the same subjects (`many` in the configuration). Far fewer iterations
than a paper's; one seed. "?": not known to us.
"""
