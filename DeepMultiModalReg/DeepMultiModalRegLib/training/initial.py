"""Weights to begin with: networks of a model of the catalogue, from 2D lifted to three dimensions where need be."""

from __future__ import annotations

import torch
from torch import nn

from ..core import InputError


def lift(given: nn.Module, target: nn.Module) -> None:
    """Copies a network's weights into one of the same layers.

    Where `given` is 2D and `target` 3D, a kernel of 3x3 becomes the middle plane of one of 3x3x3 with zeros around it,
    so that the 3D network begins by doing to every plane what the 2D one does. Where `target` has fewer input channels,
    the last ones of `given` are left out: of a level that also sees a translated image, what it does with the others.
    Raises InputError where the layers differ otherwise.
    """
    found, wanted = given.state_dict(), target.state_dict()
    for name, weights in wanted.items():
        source = found.get(name)
        if source is not None and source.dim() > 1 and weights.dim() == source.dim():
            source = source[:, : weights.shape[1]]
        if source is None or source.shape[:2] != weights.shape[:2]:
            raise InputError(
                f"The layer '{name}' of the network to begin with does not fit this one; give both the same widths."
            )
        if source.shape == weights.shape:
            weights.copy_(source)
        else:
            weights.zero_()
            weights[:, :, weights.shape[2] // 2] = source
    target.load_state_dict(wanted)


def begin(method: nn.Module, initial: dict) -> None:
    """initial: {network, from, model}: the network of that (dotted) name begins as the one called `from`, else by the
    same name, of a model of the catalogue."""
    from ..engine.catalogue import load

    name = initial["network"]
    with torch.no_grad():
        lift(
            load(initial["model"]).method.get_submodule(initial.get("from", name)),
            method.get_submodule(name),
        )
