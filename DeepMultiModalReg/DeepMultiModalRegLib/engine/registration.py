"""Registration: the whole way from two images to a transform."""

from __future__ import annotations

import torch

from ..core import Affine, Composite, Image, InputError, MemoryShortage, Transform, compose, resample
from ..core.parallel import by_pieces
from .align import COARSE, FINE, align
from .allocation import kept_memory
from .catalogue import LoadedModel, load
from .chain import chained, inverted
from .checks import check_pair
from .choice import better_in_planes, choose, few_slices, unsuited
from .classical import Classical
from .correction import corrected
from .device import Precision, choose_device
from .foreground import background
from .masks import Mask
from .memory import is_shortage, reset_peak
from .network import NetworkRun, Pair, run_network
from .refine import refine as refined
from .refinement.described import Described
from .refinement.levels import check_measure, check_steps
from .refinement.root import fitted, rooted
from .report import displacement_in_mm, fold_percent, machine, memory, start_in_words, versions
from .result import Result
from .similarity import Similarity
from .stack import TWICE, brought, refined_twice, steadied, thick
from .stages import CancelledCheck, Progress, Stages
from .start import NETWORK, begin, pose_base
from .warping import warp
from .working import working_lattice

STORED = "stored"  # see methods.disentangled
WORSE_START = 0.005  # loss of NMI by the start that is worth a word


def register(
    fixed: Image,
    moving: Image,
    model: str | LoadedModel | None = None,
    start: str | Transform = "moments",
    refine: int = 0,
    device: str = "auto",
    seed: int = 0,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    progress: Progress | None = None,
    cancelled: CancelledCheck | None = None,
    fill: float | None = None,
    translated: bool | str = False,
    inverse: bool = False,
    modalities: tuple[str, str] | None = None,
    refine_by: str = "mind",
) -> Result:
    """Finds where each point of `fixed` lies in `moving`.

    fixed, moving: one channel, both 2D or both 3D, any lattice (LPS mm). model: a name of the catalogue, a
    LoadedModel, "rigid" or "affine" (no network: the result is an Affine unless it is refined), or None to let the
    catalogue choose; before a model of slices, volumes that start from centre or moments are brought together by an
    affine transform (engine.stack). start: none | centre | moments | search | rigid | affine | network | a Transform
    (see engine.start). refine: steps at most on each level of engine.refine, 0 for none; 20 do, it ends where nothing
    is gained. refine_by: mind | mi | ncc | model, see engine.refine.
    device: auto | cpu | cuda | cuda:N | mps. fixed_mask, moving_mask: on any lattice, above zero counts.
    progress(fraction, step); cancelled() -> bool, asked between steps and batches. fill: intensity outside the moving
    image, guessed if None. translated, inverse: also deliver these; translated may be "stored": not in the style of
    this fixed image but in the usual one of its modality, where the model keeps such. modalities: of fixed and moving,
    helps the choice of a model.

    The same input gives the same result; nothing of one call is left for the next. Raises InputError, MemoryShortage,
    Cancelled, each a sentence with cause and remedy.
    """
    try:
        with kept_memory():
            return _register(
                fixed, moving, model, start, refine, device, seed, fixed_mask, moving_mask, Stages(progress, cancelled),
                fill, translated, inverse, modalities, refine_by,
            )  # fmt: skip
    except Exception as error:
        if is_shortage(error):
            raise MemoryShortage(
                "Memory does not suffice for images of this size; close other programs, crop or downsample the images."
            ) from error
        raise


def _register(
    fixed,
    moving,
    model,
    start,
    refine,
    device,
    seed,
    fixed_mask,
    moving_mask,
    stages,
    fill,
    translated,
    inverse,
    modalities,
    refine_by,
) -> Result:
    with stages.step("checking", 0.0, 0.05):
        check_measure(refine_by)
        check_steps(refine)
        if translated not in (False, True, STORED):
            raise InputError(f"The translated image is asked for by True or '{STORED}', not {translated!r}.")
        place = choose_device(device)
        reset_peak(place)
        check_pair(fixed, moving)
        masks = tuple(
            None if mask is None else Mask(mask, image, role)
            for mask, image, role in ((fixed_mask, fixed, "fixed"), (moving_mask, moving, "moving"))
        )
        fills = background(fixed), background(moving) if fill is None else float(fill)
        pair = Pair(fixed, moving, *masks, *fills)
    with stages.step("loading the model", 0.05, 0.1):
        chosen = Classical.named(model, fixed.grid.dimension) or _model(model, fixed, moving, modalities)
        classical = isinstance(chosen, Classical)
        warnings = unsuited(chosen, fixed, moving)
        offered = not classical and hasattr(chosen.method, "features")
        described = Described(chosen.method, chosen.spacing) if offered else None
        if refine and refine_by == "model" and described is None:
            raise InputError(f"The model '{chosen.name}' offers no features to refine by; refine by mind, mi or ncc.")
    with stages.step("start", 0.1, 0.2) as tick:
        locating = not classical and chosen.locating
        begun, body = begin(pair, NETWORK if locating else start, place, seed, tick, chosen if locating else None)
        first, warnings = begun.transform, warnings + begun.warnings
        stacked = not classical and chosen.dimension == 2 and not few_slices(fixed.grid) and begun.wide
        if stacked:
            first = brought(pair, first, True, seed, tick)
        # what has been aligned with care for thick slices is not corrected freely again
        held = not few_slices(fixed.grid) and thick(pair) and (stacked or classical)
        similarity = Similarity(fixed, moving, fills[1])
        before, started = similarity(None), similarity(first)
        if before - started > WORSE_START:
            warnings.append("The images agreed better before the start than after it; compare with the start none.")
    run, working, precision, transform = None, None, Precision(place), first
    corrects = refine > 0 and refine_by == "mind"
    if classical or locating:
        with stages.step(chosen.name, 0.2, 0.7) as tick:
            kind = chosen.name if classical else "affine"
            # what is corrected and refined anyway need not be fine
            levels = COARSE if classical and corrects and not few_slices(fixed.grid) else COARSE + FINE
            if held and kind == "affine":
                transform = brought(pair, pose_base(first), begun.wide, seed, tick)
            else:
                transform = align(pair, pose_base(first), kind, begun.wide, seed, tick, levels)
    else:
        with stages.step("network", 0.2, 0.7) as tick:
            wanted = chosen.dimension, chosen.spacing, chosen.method.multiple
            working, more = working_lattice(fixed.grid, body, *wanted)
            warnings += more
            render = translated or (refine > 0 and refine_by == "ncc")
            shown = pair.windowed() if chosen.normalisation == "brain window" else pair
            rough = refine > 0 and not render
            best = Precision.best(place)
            run, more = run_network(chosen.method, shown, first, working, best, seed, render, tick, rough)
            warnings += more
            working, precision = run.working, run.precision
    with stages.step("transform", 0.7, 0.72):
        # seen: where the start is affine the open field has the same Jacobian, on the very voxels asked for
        inner = None if run is None else steadied(working.field(run.displacement), working)
        seen = transform = transform if run is None else chained(first, inner)
        if run is not None and isinstance(first, Affine):
            seen = Composite(inner, first)
        inner = None if inner is None else inner.closed()
        if run is not None and getattr(chosen.method, "affine", False) and not working.slices:
            transform = seen = compose(first, fitted(inner, body), working.grid)  # its field is affine: it is said so
    refinement = None
    if refine:
        with stages.step("refine", 0.72, 0.82) as tick, by_pieces():
            planar = few_slices(fixed.grid) or (refine_by == "model" and working is not None and working.planar)
            # an affine that both images have agreed on is a better one than a network's field shows at its borders
            root = rooted(transform if run is None else first, inner, body, fit=start != "affine" and not stacked)
            if corrects and not planar and not held:
                root = corrected(pair, root, body)
            rendered = _rendered(run, root.before, fixed, fills[0]) if refine_by == "ncc" else None
            if better_in_planes(fixed.grid) and not planar and refine_by in TWICE:
                plan, more = refined_twice(pair, root, refine, place, refine_by, tick)
            else:
                plan, more = refined(pair, root, planar, refine, place, refine_by, rendered, described, tick)
            transform = chained(root.base, plan.field)
            seen = Composite(plan.field, root.base) if isinstance(root.base, Affine) else transform
            inner = None if inner is None else chained(root.before, plan.field)
            working, refinement = plan.working, plan.report
            warnings += more
    back, round_trip = None, None
    if inverse:
        with stages.step("inverse", 0.82, 0.86):
            back, round_trip = inverted(transform)
    with stages.step("warping", 0.86, 0.95) as tick:
        warped = warp(moving, fixed.grid, transform, fills[1], tick)
        rendered = _rendered(run, inner, fixed, fills[0]) if translated else None
        if translated and rendered is None:
            warnings.append(f"The model '{chosen.name}' renders no translated image.")
        elif translated == STORED and not getattr(chosen.method, "keeps_styles", False):
            warnings.append(f"The model '{chosen.name}' keeps no style; it rendered the translated image as ever.")
    with stages.step("report", 0.95, 1.0):
        lattice = fixed.grid if working is None else working.grid
        looked = refine > 0 and isinstance(seen, Composite) and torch.linalg.det(seen.affine.linear) > 0
        folded = refinement["folds_percent"] if looked and seen.dense is plan.field else fold_percent(seen, lattice)
        if folded > 0.1:
            warnings.append(
                f"The field folds in {folded:.2f} % of its voxels; look at the warped image before using it."
            )
        after = similarity(transform)
        report = {
            "versions": versions(),
            "machine": machine(precision),
            "model": chosen.describe(),
            "parameters": {
                "start": start_in_words(start, first, begun.report, stacked),
                "refine": refine, "device": device, "seed": seed,
                "fixed_mask": fixed_mask is not None, "moving_mask": moving_mask is not None, "fill": fills[1],
                "modalities": list(modalities) if modalities else None,
                "working": None if working is None else working.describe(), "refine_by": refine_by if refine else None,
            },
            "similarity": {"measure": "NMI", "before": before, "start": started, "after": after},
            "refinement": refinement,
            "folds_percent": folded,
            "displacement_mm": displacement_in_mm(seen, lattice),
            "inverse_round_trip_mm": round_trip,
            "warnings": warnings,
        }  # fmt: skip
    report["seconds"] = {**{step: round(s, 4) for step, s in stages.seconds.items()}, "total": round(stages.total(), 4)}
    report["peak_memory_mb"] = memory(precision)
    return Result(transform, warped, report, back, rendered)


def _model(model: str | LoadedModel | None, fixed: Image, moving: Image, modalities) -> LoadedModel:
    chosen = (
        choose(fixed, moving, modalities) if model is None else model if isinstance(model, LoadedModel) else load(model)
    )
    if chosen.dimension == 3 and fixed.grid.dimension == 2:
        raise InputError(f"The model '{chosen.name}' registers volumes but the images are 2D; choose a 2D model.")
    if fixed.grid.dimension == 3 and getattr(chosen.method, "one_plane", False):
        raise InputError(f"The model '{chosen.name}' knows one plane of the head; give 2D images or another model.")
    return chosen


def _rendered(run: NetworkRun | None, inner: Transform | None, fixed: Image, fill: float) -> Image | None:
    """The translated image, warped by what comes before the start, on the fixed lattice and in the fixed image's
    intensities."""
    if run is None or run.translated is None:
        return None
    bottom, top = run.seen.fixed_range
    values = bottom + run.translated * (top - bottom)
    return resample(Image(values, run.working.grid), fixed.grid, inner, "linear", fill)
