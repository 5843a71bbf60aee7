"""Weights to begin with: a network of a 2D model lifted to three dimensions."""

from __future__ import annotations

import torch
from torch import nn

from ..core import InputError


def lift(planar: nn.Module, volume: nn.Module) -> None:
    """Copies a 2D network's weights into the 3D network of the same layers.

    A kernel of 3x3 becomes the middle plane of one of 3x3x3 with zeros around it, so that the 3D network begins by
    doing to every plane what the 2D one does. Raises InputError where the layers differ.
    """
    flat, solid = planar.state_dict(), volume.state_dict()
    for name, target in solid.items():
        source = flat.get(name)
        if source is None or source.shape[:2] != target.shape[:2]:
            raise InputError(
                f"The layer '{name}' of the 2D network does not fit the 3D one; give both the same widths."
            )
        if target.dim() < 5:
            target.copy_(source)
        else:
            target.zero_()
            target[:, :, target.shape[2] // 2] = source
    volume.load_state_dict(solid)


def begin(method: nn.Module, initial: dict) -> None:
    """initial: {network, model}: the network of that name begins as the one of a 2D model of the catalogue."""
    from ..engine.catalogue import load

    with torch.no_grad():
        lift(getattr(load(initial["model"]).method, initial["network"]), getattr(method, initial["network"]))
