"""What shows nothing is not looked at, and what is looked at gives the same as if all were."""

from __future__ import annotations

import pytest
import torch

from DeepMultiModalRegLib.engine.refinement.features import mind_features
from DeepMultiModalRegLib.engine.refinement.inputs import shown
from DeepMultiModalRegLib.engine.refinement.objective import SquaredDifference
from DeepMultiModalRegLib.engine.refinement.region import Region, whole

SHAPE = (24, 20, 28)


def lump(centre=(11, 9, 15), radius: float = 5.0) -> torch.Tensor:
    """(K, J, I): a rough ball in nothing."""
    place = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in SHAPE), indexing="ij"), -1)
    inside = (place - torch.tensor(centre, dtype=torch.float32)).norm(dim=-1) < radius
    pattern = 0.6 + 0.4 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(2))
    return inside * pattern


def filled(region: Region) -> torch.Tensor:
    out = torch.zeros(region.shape, dtype=torch.bool)
    for k, box in enumerate(region.boxes):
        if box is not None:
            out[k, box[0] : box[1], box[2] : box[3]] = True
    return out


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_a_region_holds_all_that_is_shown_and_a_margin_and_little_more(margin):
    seen = lump() > 0
    held = filled(Region.of(seen, margin))
    wide = torch.nn.functional.max_pool3d(seen[None].float(), 2 * margin + 1, 1, margin)[0] > 0
    assert bool((held | ~wide).all())
    assert held.sum() < 1.5 * wide.sum() < held.numel()
    assert Region.of(torch.zeros(SHAPE, dtype=torch.bool), margin).boxes == (None,) * SHAPE[0]
    assert filled(Region.of(torch.ones(SHAPE, dtype=torch.bool), margin)).all()


@pytest.mark.parametrize("voxels", [1, 300, 10**6])
def test_its_slabs_hold_each_voxel_once_or_more_and_each_plane_once(voxels):
    region = Region.of(lump() > 0, 2)
    slabs, held = region.slabs(voxels), torch.zeros(SHAPE, dtype=torch.bool)
    for low, high, (top, bottom, left, right) in slabs:
        held[low:high, top:bottom, left:right] = True
        assert high == low + 1 or (high - low) * (bottom - top) * (right - left) <= voxels
    planes = [k for low, high, _ in slabs for k in range(low, high)]
    assert planes == [k for k, box in enumerate(region.boxes) if box is not None]
    assert bool((held | ~filled(region)).all())


def test_a_coarser_region_covers_the_same_space():
    region = Region.of(lump() > 0, 1)
    coarse = region.coarser(4)
    assert coarse.shape == tuple(n // 4 for n in SHAPE)
    fine = filled(coarse).repeat_interleave(4, 0).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert bool((fine | ~filled(region)).all()) and not fine.all()
    assert filled(whole(SHAPE)).all()


@pytest.mark.parametrize("pool", [1, 2])
def test_features_and_forces_are_those_of_the_whole_volume(pool, monkeypatch):
    for place in ("features.SLAB_VOXELS", "objective.CHUNK"):
        monkeypatch.setattr(f"DeepMultiModalRegLib.engine.refinement.{place}", 1500)
    fixed, moving = lump(), lump((12, 9, 14)).square()
    region = shown(fixed, moving, 1.0)
    assert filled(region).sum() < 0.9 * fixed.numel()
    rows = [
        [mind_features(image[None, None], pool, torch.float32, seen) for image in (fixed, moving)]
        for seen in (None, region)
    ]
    for full, part in zip(*rows, strict=True):
        assert torch.allclose(full, part, atol=1e-6)  # beyond the margin all is flat
    # points outside must not be moved to where something is shown; beyond an average of two that is any
    farthest = 0.9 if pool == 1 else 0.0
    u = torch.randn(1, 3, *rows[0][0].shape[1:-1], generator=torch.Generator().manual_seed(4)).clamp(-1, 1) * farthest
    weight = torch.rand(1, *rows[0][0].shape[1:-1], generator=torch.Generator().manual_seed(5))
    full = SquaredDifference(*rows[0], weight).around(u)
    part = SquaredDifference(*rows[1], weight, region=region.coarser(pool)).around(u)
    assert torch.allclose(full.energy, part.energy, rtol=1e-5)
    assert torch.allclose(full.slope, part.slope, atol=1e-6)
    held = filled(region.coarser(pool))
    assert torch.allclose(full.curvature[..., held], part.curvature[..., held], atol=1e-6)
    assert part.curvature[..., ~held].abs().max() < 1e-9
