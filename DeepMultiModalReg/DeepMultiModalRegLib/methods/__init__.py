"""Published registration methods, one file a paper. `build` makes the one that a model.yaml names."""

from __future__ import annotations

from importlib import import_module

from ..core import InputError
from .base import Method, MethodOutput

# name in model.yaml: (module, class); imported when asked for, so that one method's trouble is not another's
METHODS = {
    "disentangled": ("disentangled", "Disentangled"),
    "equivariant": ("equivariant", "Equivariant"),
    "equivariant_volume": ("equivariant_volume", "EquivariantVolume"),
    "hierarchical": ("hierarchical", "Hierarchical"),
    "innreg": ("innreg", "Innreg"),
    "nemar": ("nemar", "Nemar"),
}

# they look at one image at a time and say where it lies: for the start, not chosen by themselves for a pair
LOCATING = frozenset({"equivariant", "equivariant_volume"})


def build(name: str, dimension: int, settings: dict | None = None) -> Method:
    """The untrained method `name` in 2 or 3 dimensions. Raises InputError for a name or settings it does not know."""
    if name not in METHODS:
        raise InputError(
            f"The method '{name}' is not one of {', '.join(sorted(METHODS))}; check the model's description."
        )
    module, kind = METHODS[name]
    try:
        method = getattr(import_module(f".{module}", __package__), kind)(dimension, **(settings or {}))
    except TypeError as error:
        raise InputError(
            f"The settings of method '{name}' do not fit it ({error}); check the model's description."
        ) from None
    method.locating = name in LOCATING
    return method


__all__ = ["LOCATING", "METHODS", "Method", "MethodOutput", "build"]
