"""Network start: the first alignment by a network that says of each image alone where it lies in a template.

After Hachicha et al. (MILLanD 2023): T, fixed to moving, is the fixed image's way into the template and back out of it
by the moving image's. No similarity is looked at, so that no turn is too large and no pair of contrasts too different.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Affine, InputError
from .catalogue import LoadedModel, installed_models, load
from .device import Precision
from .locate import Location, locate, locate_slice
from .network import Pair

STARTING = {2: "equivariant-t2-brain-2d", 3: "equivariant-any-brain-3d"}  # dimension to the model that finds poses
# on 150 volumes of people kept aside, half of them cut off somewhere, in any pose: of the 110 with a doubt below 10 mm
# none was turned wrong by over 30 degrees, to 13 mm one in nine was, to 16 mm one in five, beyond it one in two.
# Slices, on 2400 of four people kept aside, in narrow and wide ranges, covered and not: to 16 mm 3 of 1831 were turned
# wrong by over 45 degrees, beyond it 111 of 569.
SURE_MM = 10.0  # up to here one scan of a volume is enough
HESITANT_MM = 13.0  # beyond, the answer is used with a warning
BELIEVED_MM = 16.0  # beyond, it is not used


@dataclass(frozen=True)
class NetworkStart:
    """transform: fixed LPS mm to moving LPS mm: a turn, a shift and one scale; None where the network is not sure of
    one of the images. report: for the report. warnings: sentences."""

    transform: Affine | None
    report: dict
    warnings: list[str]


def starting_model(dimension: int) -> LoadedModel:
    """The installed model that finds poses in 2 or 3 dimensions. Raises InputError where there is none."""
    name = STARTING[dimension]
    if name not in {model.name for model in installed_models()[0]}:
        raise InputError(
            f"The start 'network' for {dimension}D images needs the model '{name}', which is not installed; "
            "install it, or start with moments."
        )
    return load(name, "finds the start")


def network_start(pair: Pair, bodies: tuple[Tensor, Tensor], model: LoadedModel, precision: Precision) -> NetworkStart:
    """The pair's first alignment through the template.

    bodies: of the fixed and the moving image, (N, D) LPS mm (`body.body_points`).
    """
    images = ((pair.fixed, pair.fixed_mask, pair.fixed_fill), (pair.moving, pair.moving_mask, pair.moving_fill))
    found = [
        locate(model.method, *image, body, precision, SURE_MM)
        if model.dimension == 3
        else locate_slice(model, *image, body, precision)
        for image, body in zip(images, bodies, strict=True)
    ]
    placed = dict(zip(("fixed", "moving"), found, strict=True))
    unsure = [role for role, place in placed.items() if place.doubt > BELIEVED_MM]
    report = {
        "model": model.describe(),
        "doubt_mm": [round(place.doubt, 2) for place in found],
        "scans": [place.scans for place in found],
        "believed": not unsure,
    }
    if unsure:
        which = " and the ".join(unsure)
        return NetworkStart(None, report, [
            f"The start network is not sure where the {which} image lies; the start moments was used instead. "
            "If the result is turned wrongly, start with search."
        ])  # fmt: skip
    warnings = [
        f"The start network hesitates where the {role} image lies (doubt {place.doubt:.0f} mm); look at the result."
        for role, place in placed.items()
        if place.doubt > HESITANT_MM
    ]
    return NetworkStart(through_template(*found), report, warnings)


def through_template(fixed: Location, moving: Location) -> Affine:
    """T, fixed LPS mm to moving LPS mm, without shear: what differs between two answers' shears is mostly their error,
    and an affine registration finds the rest. The template's origin stays on itself."""
    whole = moving.to_template.inverse() @ fixed.to_template
    u, s, vh = torch.linalg.svd(whole.linear)
    linear = (u @ vh) * s.prod() ** (1 / len(s))
    origin = fixed.to_template.inverse().translation
    return Affine.from_parts(linear, whole.points(origin) - linear @ origin)
