"""Methods that do something simple and known instead of a network, images that show something, and a small
catalogue."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from DeepMultiModalRegLib.core import Grid, Image
from DeepMultiModalRegLib.engine import LoadedModel, write_model
from DeepMultiModalRegLib.methods import build
from DeepMultiModalRegLib.methods.base import Method, MethodOutput

# what a model.yaml must say, for models that exist for a test only
DESCRIPTION = {
    "description": "Weights drawn at random, for a test.",
    "method": "hierarchical",
    "settings": {"widths": [4, 4], "mask_width": 4, "mask_code": 4},
    "dimension": 3,
    "modalities": ["T1", "T2"],
    "anatomy": ["phantom"],
    "working": {"spacing": 4.0, "size": [16, 16, 16]},
    "normalisation": "quantile",
    "training": {"command": "none", "data": [], "licences": [], "seconds": 0, "hardware": "none", "seed": 0},
    "results": [],
    "citation": "none",
    "licence": "Apache-2.0",
    "limits": ["Registers nothing."],
}


class Constant(Method):
    """Everywhere the same displacement, in voxels of the working lattice. Renders the moving image as its negative."""

    multiple = 4

    def __init__(self, *voxels: float) -> None:
        super().__init__()
        self.dimension = len(voxels)
        self.voxels = voxels
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        self.seen.append((fixed.clone(), moving.clone()))
        u = torch.tensor(self.voxels).reshape(1, -1, *([1] * self.dimension))
        return MethodOutput(u.expand(fixed.shape[0], -1, *fixed.shape[2:]).clone(), 1 - moving if translate else None)


class Correlating(Method):
    """Finds the whole-voxel shift between both images by their cross-correlation: it knows nothing of lattices, so a
    lattice's axis that is swapped or reversed on the way in or out shows as a wrong shift in millimetres."""

    multiple = 4

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        axes = tuple(range(2, 2 + self.dimension))
        spectrum = torch.fft.fftn(moving.float(), dim=axes) * torch.fft.fftn(fixed.float(), dim=axes).conj()
        score = torch.fft.ifftn(spectrum, dim=axes).real.sum((0, 1))  # all slices agree on one shift
        best = torch.unravel_index(score.argmax(), score.shape)
        shift = [float(b) if b <= n // 2 else float(b - n) for b, n in zip(best, score.shape, strict=True)]
        u = torch.tensor(shift[::-1]).reshape(1, -1, *([1] * self.dimension))
        return MethodOutput(u.expand(fixed.shape[0], -1, *fixed.shape[2:]).clone())


class Wavy(Method):
    """A smooth field that depends on both images and on torch's random numbers: what determinism is tried on."""

    multiple = 4

    def __init__(self, dimension: int, amplitude: float = 1.0) -> None:
        super().__init__()
        self.dimension = dimension
        self.amplitude = amplitude
        self.layer = (torch.nn.Conv3d if dimension == 3 else torch.nn.Conv2d)(2, dimension, 5, padding=2)
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.copy_(torch.linspace(-0.05, 0.05, parameter.numel()).reshape(parameter.shape))

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        u = self.layer(torch.cat([fixed, moving], 1)).float()
        return MethodOutput(self.amplitude * (u + 0.1 * torch.randn(1).to(u)))


class Breaking(Constant):
    """Raises the given errors, one a call, before it works."""

    def __init__(self, errors: list[Exception], *voxels: float) -> None:
        super().__init__(*voxels)
        self.errors = list(errors)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, fixed: Tensor, moving: Tensor, translate: bool = False) -> MethodOutput:
        self.shapes.append(tuple(fixed.shape))
        if self.errors:
            raise self.errors.pop(0)
        return super().forward(fixed, moving, translate)


def model_of(method: Method, spacing: float = 2.0) -> LoadedModel:
    """A model that is in no catalogue."""
    return LoadedModel("fake", method.eval(), spacing, "0" * 64)


def phantom(grid: Grid, shift=None, background: float = 0.0, height: float = 1000.0) -> Image:
    """A lump of three unequal balls about the lattice's middle, moved by `shift` (LPS mm): no two directions look
    alike.

    float32; sharp enough to be told from its background, smooth enough to be read between voxels.
    """
    d = grid.dimension
    x = grid.points(torch.float64) - grid.centre
    if shift is not None:
        x = x - torch.tensor(shift, dtype=torch.float64)
    scale = min(e for e, n in zip(grid.extent.tolist(), grid.size, strict=True) if n > 1) / 2
    balls = (((0.0, 0.0, 0.0), 0.45, 1.0), ((0.35, 0.1, -0.15), 0.22, 0.8), ((-0.1, 0.38, 0.22), 0.16, 0.6))
    value = torch.zeros(grid.shape, dtype=torch.float64)
    for centre, radius, level in balls:
        distance = (x / scale - torch.tensor(centre[:d], dtype=torch.float64)).norm(dim=-1)
        value = torch.maximum(value, level * torch.sigmoid((radius - distance) / 0.04))
    value = torch.where(value < 1e-4, torch.zeros_like(value), value)
    return Image((background + (height - background) * value)[None].float(), grid)


def write_tiny_model(folder: Path, name: str, **changes) -> Path:
    """A hierarchical model with random weights under folder/name; `changes` go into its description."""
    description = {**DESCRIPTION, **changes}
    description["working"] = {"spacing": description["working"]["spacing"], "size": [16] * description["dimension"]}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        method = build(description["method"], description["dimension"], description["settings"])
    write_model(folder / name, description, method.state_dict())
    return folder / name
