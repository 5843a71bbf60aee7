"""A planar network on a volume: the volumes are brought together first, and its field is steady across the slices."""

from __future__ import annotations

import torch
from fakes import Constant, model_of
from lattices import make_grid, rotation
from textures import textured

from DeepMultiModalRegLib.core import Affine, DenseField, Image, resample
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.engine.align import align
from DeepMultiModalRegLib.engine.network import Pair
from DeepMultiModalRegLib.engine.stack import brought, steadied, thick
from DeepMultiModalRegLib.engine.working import Working

STILL = Constant(0.0, 0.0)


def tilted(slices: int) -> tuple[Image, Image, Affine]:
    """A stack of thick slices, the same one tilted by 8 degrees out of its plane, and how."""
    grid = make_grid((56, 52, slices), (2.0, 2.0, 6.0), (0, 0, 0), rotation(0, 0, 0))
    moving = textured(grid)
    linear = torch.tensor(rotation(8, 0, 0), dtype=torch.float64).reshape(3, 3)
    truth = Affine.from_parts(linear, grid.centre - linear @ grid.centre)
    return resample(moving, grid, truth), moving, truth


def off(transform, fixed: Image, truth: Affine) -> float:
    x = fixed.grid.points(torch.float64)[fixed.tensor[0] > 300]
    return float((transform.points(x) - truth.points(x)).norm(dim=-1).mean())


def test_volumes_are_brought_together_before_a_network_looks_at_their_slices():
    fixed, moving, truth = tilted(18)
    found = register(fixed, moving, model_of(STILL))
    asked = register(fixed, moving, model_of(STILL), start="none")
    assert off(found.transform, fixed, truth) < 0.4 * off(asked.transform, fixed, truth)
    told = found.report["parameters"]["start"]
    assert told["kind"] == "moments" and told["then"] == "affine"
    assert "then" not in asked.report["parameters"]["start"]
    assert asked.report["parameters"]["start"]["matrix"] == torch.eye(4).tolist()


def test_thick_slices_are_brought_together_stiffly_and_thin_ones_freely():
    thick_grid = make_grid((56, 52, 18), (2.0, 2.0, 6.0), (0, 0, 0), rotation(0, 0, 0))
    thin_grid = make_grid((56, 52, 54), (2.0, 2.0, 2.0), (0, 0, 0), rotation(0, 0, 0))
    stretch = torch.diag(torch.tensor([1.0, 1.0, 1.12], dtype=torch.float64))
    found = []
    for grid in (thin_grid, thick_grid):
        moving = textured(grid)
        truth = Affine.from_parts(stretch, grid.centre - stretch @ grid.centre)
        pair = Pair(resample(moving, grid, truth), moving, None, None, 0.0, 0.0)
        assert thick(pair) == (grid is thick_grid)
        first = Affine.identity(3)
        found.append((brought(pair, first), align(pair, first)))
    assert torch.equal(found[0][0].matrix, found[0][1].matrix)
    held, free = (float(affine.linear.det()) for affine in found[1])
    assert 1.0 < held < free - 0.01
    mixed = Pair(textured(thin_grid), textured(thick_grid), None, None, 0.0, 0.0)
    assert thick(mixed)


def test_exchanged_thick_slices_are_brought_together_by_the_inverse():
    fixed, moving, truth = tilted(18)
    pair = Pair(fixed, moving, None, None, 0.0, 0.0)
    there, back = brought(pair, Affine.identity(3)), brought(pair.exchanged(), Affine.identity(3))
    assert torch.allclose(there.matrix, back.inverse().matrix, atol=1e-9)
    assert off(there, fixed, truth) < 0.4 * off(Affine.identity(3), fixed, truth)


def test_where_two_directions_lie_far_apart_the_fixed_images_is_taken(monkeypatch):
    fixed, moving, _ = tilted(18)
    pair = Pair(fixed, moving, None, None, 0.0, 0.0)

    def shifted(mm: float):
        def found(asked, *rest):
            move = torch.tensor([mm if asked.fixed is moving else 0.0, 0.0, 0.0], dtype=torch.float64)
            return Affine.from_parts(torch.eye(3, dtype=torch.float64), -move)

        return found

    for mm, expected in ((4.0, 2.0), (9.0, 0.0)):  # slices lie 6 mm apart
        monkeypatch.setattr("DeepMultiModalRegLib.engine.stack._stiff", shifted(mm))
        assert torch.allclose(brought(pair, Affine.identity(3)).translation[0], torch.tensor(expected).double())


def test_an_affine_of_thick_slices_is_not_corrected_freely_before_it_is_refined(monkeypatch):
    fixed, moving, _ = tilted(18)
    asked = []
    monkeypatch.setattr("DeepMultiModalRegLib.engine.registration.corrected", lambda *args: asked.append(1) or args[1])
    register(fixed, moving, "affine", refine=1)
    register(fixed, moving, model_of(STILL), refine=1)
    assert not asked
    register(fixed, moving, model_of(STILL), start="none", refine=1)
    assert asked


def test_a_few_slices_and_a_network_of_volumes_start_as_they_are_asked_to():
    few, moving, _ = tilted(6)
    for model, fixed in ((STILL, few), (Constant(0.0, 0.0, 0.0), tilted(18)[0])):
        start = register(fixed, moving, model_of(model)).report["parameters"]["start"]
        assert "then" not in start
        assert torch.allclose(torch.tensor(start["matrix"])[:3, :3], torch.eye(3))


def test_a_planar_field_is_steady_across_the_slices_and_as_it_was_in_them():
    grid = make_grid((12, 10, 9), (2.0, 2.0, 6.0), (0, 0, 0), rotation(10, 20, 30))
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn((3, 1, 10, 12), generator=generator).expand(3, 9, 10, 12)
    noise = torch.randn((3, 9, 1, 1), generator=generator).expand(3, 9, 10, 12)
    working = Working(grid, slices=True)
    same = steadied(DenseField(Image(plane.contiguous(), grid)), working).field.tensor
    assert torch.allclose(same, plane, atol=1e-5)
    less = steadied(DenseField(Image((plane + noise).contiguous(), grid)), working).field.tensor - plane
    assert float(less.std()) < 0.7 * float(noise.std())
    assert float(less.std((2, 3)).max()) < 1e-5
    volume = DenseField(Image(plane + noise, grid))
    assert steadied(volume, Working(grid)) is volume
