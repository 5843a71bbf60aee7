"""The affine part is corrected before a refinement: in millimetres, on any lattice, whatever a network says."""

from __future__ import annotations

import pytest
import torch
from lattices import make_grid, rotation, smooth_field
from textures import textured, warped_pair

from DeepMultiModalRegLib.core import Affine, Composite, DenseField, Image, resample
from DeepMultiModalRegLib.engine.body import body_points
from DeepMultiModalRegLib.engine.correction import corrected
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.engine.refinement.affine import nearest_affine
from DeepMultiModalRegLib.engine.refinement.objective import SquaredDifference
from DeepMultiModalRegLib.engine.refinement.root import Root, rooted

OBLIQUE = make_grid((46, 40, 36), (2, 2.2, 2.1), (-30, 20, 10), rotation(15, -14, 28))
STACK = make_grid((64, 60, 26), (1.5, 1.5, 3.3), (-40, 10, 0), rotation(4, 7, -12))


def about(grid, degrees: tuple[float, float, float], scale: float, shift: tuple[float, ...]) -> Affine:
    """Turned and scaled about the middle of the lattice, then shifted (mm)."""
    linear = torch.as_tensor(rotation(*degrees)).double() * scale
    return Affine.from_parts(linear, grid.centre + torch.tensor(shift).double() - linear @ grid.centre)


def posed_pair(grid, truth: Affine) -> Pair:
    """The fixed image is the other contrast of the moving one under `truth`."""
    moving = textured(grid)
    seen = resample(moving, grid, truth)
    fixed = seen.with_tensor((seen.tensor * (1500 - seen.tensor)).clamp(min=0) / 600)
    return Pair(fixed, moving, None, None, 0.0, 0.0)


def off(found: Affine, truth: Affine, pair: Pair) -> float:
    """Mean mm in the body."""
    body = body_points(pair.fixed)
    return float((found.points(body) - truth.points(body)).norm(dim=-1).mean())


@pytest.mark.parametrize("grid", [OBLIQUE, STACK], ids=["oblique", "thick slices"])
def test_a_pose_near_by_is_found_across_modalities(grid):
    truth = about(grid, (4, -3, 6), 1.04, (4.0, -3.0, 2.0))
    pair = posed_pair(grid, truth)
    root = corrected(pair, Root(Affine.identity(3)), body_points(pair.fixed))
    assert off(Affine.identity(3), truth, pair) > 4
    assert off(root.base, truth, pair) < 1.2
    assert root.before is None and root.guess is None


def test_where_a_network_leads_astray_the_start_before_it_is_where_it_begins():
    truth = about(OBLIQUE, (2, 0, 3), 1.0, (2.0, 1.0, 0.0))
    pair = posed_pair(OBLIQUE, truth)
    body = body_points(pair.fixed)
    astray = DenseField(Image(torch.tensor([18.0, -15.0, 9.0])[:, None, None, None].expand(3, *OBLIQUE.shape), OBLIQUE))
    root = rooted(Affine.identity(3), astray, body)
    assert off(root.base, truth, pair) > 15
    assert off(corrected(pair, root, body).base, truth, pair) < 0.8


def test_base_and_guess_together_stay_what_was_found():
    fixed, moving, _ = warped_pair(OBLIQUE)
    body = body_points(fixed)
    start, inner = about(OBLIQUE, (1, 2, 0), 1.0, (1.0, 0.0, 0.0)), smooth_field(OBLIQUE, 3.0)
    root = corrected(Pair(fixed, moving, None, None, 0.0, 0.0), rooted(start, inner, body), body)
    together = root.base.points(root.guess.points(body))
    assert torch.allclose(together, start.points(inner.points(body)), atol=1e-4)
    assert torch.allclose(root.base.matrix, (start @ root.before).matrix, atol=1e-9)


def test_a_start_with_a_field_of_its_own_is_kept():
    pair = posed_pair(OBLIQUE, about(OBLIQUE, (0, 0, 4), 1.0, (2.0, 0.0, 0.0)))
    root = Root(Composite(smooth_field(OBLIQUE, 2.0), None))
    assert corrected(pair, root, body_points(pair.fixed)) is root


@pytest.mark.parametrize("shape", [(18, 22, 20), (34, 30)], ids=["volume", "image"])
def test_steps_never_raise_the_objective_and_end_at_the_affine_that_was_applied(shape):
    d = len(shape)
    drawn = torch.randn(1, 4, *shape, generator=torch.Generator().manual_seed(3))
    pool = torch.nn.functional.avg_pool3d if d == 3 else torch.nn.functional.avg_pool2d
    for _ in range(3):
        drawn = pool(drawn, 3, 1, 1)
    features = (drawn / drawn.std()).movedim(1, -1).contiguous()
    still = torch.eye(d + 1, dtype=torch.float64)
    objective = SquaredDifference(features, features)
    assert nearest_affine(objective, still)[1][0] == 0
    away = still.clone()
    away[:d, d] = torch.tensor([1.5, -1.0, 0.7][:d])
    matrix, trail = nearest_affine(objective, away)
    assert trail == sorted(trail, reverse=True) and trail[-1] < 0.05 * trail[0]
    points = torch.cartesian_prod(*[torch.arange(float(n)) for n in shape]).flip(-1).double()
    moved = points @ matrix[:d, :d].T + matrix[:d, d] - points
    assert float(moved.abs().mean()) < 0.1
