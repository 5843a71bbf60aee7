"""Start: the first alignment, before the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core import Affine, Image, InputError, Transform
from .align import COARSE, align
from .body import body_points, covered
from .catalogue import LoadedModel
from .device import Precision
from .network import Pair
from .network_start import network_start, starting_model
from .pose import KINDS

POSES = KINDS  # starts that look at the images: engine.align, from the moments
NETWORK = "network"  # a network looks at each image alone, a quick look at both corrects it
SEARCH = "search"  # every turn at a glance, then the coarse levels of engine.align: any pose, in half a second
STARTS = ("none", "centre", "moments", SEARCH, *POSES, NETWORK)
FEW = 0.25  # of the fixed image's body within the moving image: less is worth a warning


@dataclass(frozen=True)
class Start:
    """transform: fixed LPS mm to moving LPS mm. wide: whether a pose search that goes on from here should look at far
    turns too. report: of the network, empty without one. warnings: sentences."""

    transform: Transform
    wide: bool
    report: dict = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def begin(
    pair: Pair,
    start: str | Transform,
    device: torch.device,
    seed: int = 0,
    tick: Callable[[float], None] = lambda share: None,
    model: LoadedModel | None = None,
) -> tuple[Start, Tensor]:
    """The start of a pair as `first_alignment` gives it, or "network"; and the fixed image's body (N, D) LPS mm.

    "network": each image's place in a template by the model that finds poses (or `model`), engine.network_start, then
    the two coarse levels of engine.align, which correct turn, shift and scale together. Where the network is not sure,
    the moments, with a warning. Raises InputError for an unknown start, one without overlap, or a missing model.
    """
    bodies = body_points(pair.fixed, pair.fixed_mask), body_points(pair.moving, pair.moving_mask)
    named, report, warnings = start, {}, []
    if start == NETWORK:
        model = starting_model(pair.fixed.grid.dimension) if model is None else model
        found = network_start(pair, bodies, model, Precision.best(device))
        named, report, warnings = found.transform or "moments", found.report, found.warnings
    first = first_alignment(pair.fixed, pair.moving, named, *bodies)
    warnings += check_overlap(bodies[0], pair.moving, first, start)
    if start == NETWORK and named != "moments":
        first = align(pair, first, "affine", False, seed, tick, COARSE)
    elif start == SEARCH:
        first = align(pair, first, "affine", True, seed, tick, COARSE)
    elif start in POSES:
        first = align(pair, first, start, True, seed, tick)
    return Start(first, named in ("centre", "moments"), report, warnings), bodies[0]


def first_alignment(
    fixed: Image, moving: Image, start: str | Transform, fixed_body: Tensor, moving_body: Tensor
) -> Transform:
    """The start as a transform (fixed LPS mm to moving LPS mm).

    start: "none", the identity: both images lie right in space already;
      "centre": the translation that brings the lattices' middles together;
      "moments": the translation that brings the centres of mass of both bodies together. No rotation: the two smaller
        principal axes of a head are nearly equal, so aligning principal axes would turn it at random;
      "search": the moments, from where the coarse levels of `engine.align` look at every turn: turn, shift and scale
        within a few mm, whatever way the patient lies;
      "rigid", "affine": the moments, from where `engine.align` goes on;
      a Transform (affine, dense or composite): kept as it is.
    fixed_body, moving_body: (N, D) LPS mm, see `body.body_points`. Raises InputError for an unknown start.
    """
    d = fixed.grid.dimension
    if isinstance(start, Transform):
        if start.dimension != d:
            raise InputError(f"The start transform is {start.dimension}D but the images are {d}D; give one that fits.")
        return start
    if start == "none":
        return Affine.identity(d)
    if start == "centre":
        return _translation(moving.grid.centre - fixed.grid.centre)
    if start in ("moments", SEARCH, *POSES):
        return _translation(moving_body.mean(0) - fixed_body.mean(0))
    raise InputError(f"The start '{start}' is not known; choose one of {', '.join(STARTS)} or give a transform.")


def pose_base(start: Transform) -> Affine:
    """Where `align` begins after the start. Raises InputError for a start with a field: a pose cannot follow it."""
    if not isinstance(start, Affine):
        raise InputError("A rigid or affine registration starts from an affine transform, not from a field; give one.")
    return start


def _translation(shift: Tensor) -> Affine:
    matrix = Affine.identity(len(shift)).matrix.clone()
    matrix[:-1, -1] = shift
    return Affine(matrix)


def check_overlap(fixed_body: Tensor, moving: Image, start: Transform, named: str | Transform) -> list[str]:
    """Warnings about the share of the fixed image's body that the start brings within the moving image.

    Raises InputError where nothing overlaps: no network could see both images.
    """
    share = covered(moving.grid, start.points(fixed_body)).double().mean().item()
    if share == 0:
        if isinstance(named, Transform):
            remedy = (
                "check that the transform maps fixed points to moving points (not the other way), or start with moments"
            )
        else:
            remedy = "start with moments or centre" if named == "none" else "start with moments"
        raise InputError(
            f"The fixed and the moving image do not overlap in space after the start '{_name(named)}'; {remedy}."
        )
    if share < FEW:
        return [f"Only {100 * share:.0f} % of the fixed image's body lies within the moving image after the start."]
    return []


def _name(start: str | Transform) -> str:
    return "given transform" if isinstance(start, Transform) else start
