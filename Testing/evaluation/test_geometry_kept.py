"""What is said of how a method renders: of one that changes grey levels alone, and of one that moves things."""

from __future__ import annotations

import torch
from fakes import Constant, phantom

from DeepMultiModalRegLib.core import Grid
from DeepMultiModalRegLib.evaluation.geometry_kept import geometry_kept
from DeepMultiModalRegLib.methods.base import MethodOutput

GRID = Grid.regular((64, 64), 1.75)


class Shifting(Constant):
    """Renders the negative four pixels to the right of where it should lie."""

    def forward(self, fixed, moving, translate=False):
        out = super().forward(fixed, moving, translate)
        return MethodOutput(out.displacement, out.translated.roll(4, -1))


class Refusing(Constant):
    """Takes what it is shown second for the other modality."""

    def forward(self, fixed, moving, translate=False):
        out = super().forward(fixed, moving, translate)
        return out if len(self.seen) > 1 else MethodOutput(out.displacement)


def kept(method) -> dict[str, float]:
    image = phantom(GRID, height=1.0).tensor[None]
    return geometry_kept(method, image, image, GRID, 1)


def test_a_negative_keeps_geometry():
    found = kept(Constant(0.0, 0.0))
    assert found["edges_mm"] < 0.05 and found["commutation"] < 1e-5


def test_what_moves_things_is_found_out():
    found = kept(Shifting(0.0, 0.0))
    assert 1.75 < found["edges_mm"] <= 4.5 * 1.75
    assert found["commutation"] > 0.02, "the warp turns, the translator shifts along the lattice"


def test_no_figure_where_nothing_was_rendered():
    found = kept(Refusing(0.0, 0.0))
    assert "commutation" not in found and torch.tensor(found["edges_mm"]).isfinite()
