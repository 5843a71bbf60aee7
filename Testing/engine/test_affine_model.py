"""A model whose fields are affine gives an affine transform, unless it cannot be one."""

from __future__ import annotations

import pytest
import torch
from fakes import Constant, model_of, phantom

from DeepMultiModalRegLib.core import Affine, Grid, resample
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.methods.base import MethodOutput
from DeepMultiModalRegLib.networks.warp import identity

VOLUME = Grid((40, 44, 36), (2.0, 2.0, 2.5), (-30.0, 10.0, 5.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
PLANE = Grid((48, 52), (2.0, 2.5), (-30.0, 10.0), (0.0, -1.0, 1.0, 0.0))


class Turning(Constant):
    """The same linear map about the working lattice's middle, whatever it sees."""

    affine = True

    def forward(self, fixed, moving, translate=False):
        shape = tuple(fixed.shape[2:])
        half = torch.tensor([(n - 1) / 2 for n in reversed(shape)])
        x = identity(shape, fixed.device) - half
        slope = 0.05 * torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.5, 1.0], [0.0, 0.5, -1.0]])[: len(shape), : len(shape)]
        u = ((x[..., None, :] * slope).sum(-1) + torch.tensor(self.voxels)).movedim(-1, 1)  # no product autocast halves
        return MethodOutput(u.expand(fixed.shape[0], *u.shape[1:]).clone(), moving if translate else None)


@pytest.mark.parametrize(("grid", "voxels"), [(VOLUME, (1.5, -2.0, 1.0)), (PLANE, (1.5, -2.0))], ids=["3d", "2d"])
@pytest.mark.parametrize("start", ["none", "moments"])
def test_its_transform_is_affine_and_the_field_that_the_network_gave(grid, voxels, start):
    fixed, moving = phantom(grid), phantom(grid, [3.0] * grid.dimension)
    dense, affine = Turning(*voxels), Turning(*voxels)
    dense.affine = False
    results = [register(fixed, moving, model=model_of(m), start=start, translated=True) for m in (dense, affine)]
    assert isinstance(results[1].transform, Affine) and not isinstance(results[0].transform, Affine)
    inside = grid.points(torch.float64)[fixed.tensor[0] > 100]
    a, b = (result.transform.points(inside) for result in results)
    assert (a - b).norm(dim=-1).max() < 1e-3
    assert torch.allclose(results[1].warped.tensor, resample(moving, grid, results[1].transform).tensor, atol=1e-3)
    lit = fixed.tensor > 100
    assert torch.allclose(results[0].translated.tensor[lit], results[1].translated.tensor[lit], atol=1e-2)


def test_slice_by_slice_it_remains_a_field():
    volume = phantom(VOLUME)
    result = register(volume, volume, model=model_of(Turning(1.0, 0.5)))
    assert not isinstance(result.transform, Affine)


def test_a_refined_one_is_a_field_on_an_affine_root():
    fixed, moving = phantom(VOLUME), phantom(VOLUME, [2.0, 0.0, 0.0])
    result = register(fixed, moving, model=model_of(Turning(0.0, 0.0, 0.0)), refine=3)
    assert not isinstance(result.transform, Affine)
    assert result.report["similarity"]["after"] > result.report["similarity"]["before"]
