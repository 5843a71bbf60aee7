"""Measure: one row of the table, from a case and what a runner made of it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ..core import Cancelled, Image, RegistrationError, Transform, compose, resample
from ..engine.chain import inverted
from ..engine.choice import better_in_planes
from ..engine.foreground import background
from ..engine.similarity import Similarity
from .cases import Case
from .consistency import round_trip_errors, warped_disagreement
from .dice import dice, labels_of, mean
from .displacement import landmark_errors, split_errors, summary, transform_errors
from .folding import folding
from .peers import MissingPeerError
from .runners import Outcome, Runner
from .surface import hausdorff95


def measured(
    case: Case, name: str, runner: Runner, surfaces: bool = True
) -> tuple[dict, Transform | None, Image | None]:
    """(row, transform, warped image). A runner that fails gives a row that says why, and None."""
    row: dict = {"group": case.group, "case": case.name, "method": name, "kind": runner.kind, "model": runner.model}
    row["dimension"] = case.fixed.grid.dimension
    try:
        outcome = runner(case)
        before = None if case.before is None else runner(replace(case, moving=case.before)).transform
    except Cancelled:
        raise
    except Exception as error:  # one row's trouble is not the next one's
        return {**row, **_trouble(error)}, None, None
    warped = outcome.warped
    if warped is None:
        warped = resample(case.moving, case.fixed.grid, outcome.transform, "linear", background(case.moving))
    row |= {key: getattr(outcome, key) for key in ("seconds", "cpu_seconds", "startup_seconds", "peak_mb", "device_mb")}
    row |= {"version": outcome.version, "warnings": list(outcome.warnings)}
    row |= {f"step_{step}": seconds for step, seconds in outcome.steps.items()}
    for label_set in case.labels:
        row |= _overlap(case, label_set, outcome, surfaces)
    if case.truth is not None:
        row |= _errors("error", outcome.transform, case.truth, case)
    if case.found is not None:
        row |= _errors("found", outcome.transform, case.found, case)
    if before is not None:
        # what the tool holds wrongly of the pair itself, or the pair's truth does, is left out: only the warp counts
        row |= _errors("recovered", outcome.transform, compose(case.truth, before, case.fixed.grid), case)
    if case.landmarks is not None:
        errors = summary(landmark_errors(outcome.transform, *case.landmarks))
        row |= {f"landmark_{key}_mm": value for key, value in errors.items()}
    row |= folding(outcome.transform, case.fixed.grid, case.mask)
    similarity = Similarity(case.fixed, case.moving, background(case.moving))
    row |= {"nmi_before": similarity(None), "nmi_after": similarity(outcome.transform)}
    if outcome.warped is not None:  # the engine's: it delivers an inverse and a warped image; a peer's are its own
        row["round_trip_mean_mm"] = _round_trip(case, outcome.transform)
        row["warped_disagreement"] = warped_disagreement(
            outcome.warped, case.moving, outcome.transform, background(case.moving)
        )
    return row, outcome.transform, warped


def _trouble(error: Exception) -> dict:
    """What a row says about it: a sentence, and the exit code it asks for (none where a peer is not installed)."""
    if isinstance(error, MissingPeerError):
        return {"error": str(error), "exit_code": 0}
    if isinstance(error, RegistrationError):
        return {"error": str(error), "exit_code": error.exit_code}
    reason = " ".join(str(error).split())[:200]
    return {"error": f"Internal error ({type(error).__name__}: {reason}).", "exit_code": RegistrationError.exit_code}


def _overlap(case: Case, label_set: str, outcome: Outcome, surfaces: bool) -> dict:
    """Dice and HD95 of one set of labels: the moving's, by nearest neighbour, on the lattice of the fixed's."""
    fixed, moving = case.labels[label_set]
    labels = labels_of(fixed.tensor, moving.tensor)
    warped = resample(moving, fixed.grid, outcome.transform, "nearest").tensor[0]
    overlap = dice(fixed.tensor[0], warped, labels)
    row = {f"dice_{label_set}": mean(overlap), f"dice_{label_set}_each": overlap}
    if surfaces:
        distances = hausdorff95(fixed.tensor[0], warped, fixed.grid, labels)
        finite = {label: value for label, value in distances.items() if math.isfinite(value)}
        row |= {f"hd95_{label_set}_mm": mean(finite), f"hd95_{label_set}_each": distances}
        if len(finite) < len(distances):
            row[f"lost_{label_set}"] = len(distances) - len(finite)  # labels that the warp has moved out of sight
    return row


def _errors(name: str, transform: Transform, truth: Transform, case: Case) -> dict:
    """mm inside the mask; of a stack of thick slices also the mean within their planes and across them, which is known
    less well."""
    grid = case.fixed.grid
    errors = summary(transform_errors(transform, truth, grid, case.mask))
    if grid.dimension == 3 and better_in_planes(grid):
        plane, across = split_errors(transform, truth, grid, case.mask)
        errors |= {"plane": plane.mean().item(), "across": across.mean().item()}
    return {f"{name}_{key}_mm": value for key, value in errors.items()}


def _round_trip(case: Case, transform: Transform) -> float:
    """Mean mm inside the mask, or in the whole fixed image, where the transform leads into the moving image at all."""
    inverse, _ = inverted(transform)
    inside = case.mask if case.mask is not None else torch.ones(case.fixed.grid.shape, dtype=torch.bool)
    seen = Image(torch.ones((1, *case.moving.grid.shape)), case.moving.grid)
    inside = inside & (resample(seen, case.fixed.grid, transform).tensor[0] > 0.5)
    return summary(round_trip_errors(transform, inverse, case.fixed.grid, inside))["mean"]
