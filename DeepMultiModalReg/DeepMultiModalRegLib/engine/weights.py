"""Weights: a model's file of half-precision numbers, checked before use, and what it takes from another model's."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable

import torch

from ..core import InputError
from .description import ModelDescription

State = dict[str, torch.Tensor]


def checked_bytes(description: ModelDescription) -> bytes:
    """The file, after its size and SHA-256 were compared with the description.

    Raises InputError where it is missing, altered, or lies outside the model's folder.
    """
    name, weights = description.name, description.weights
    folder = description.folder.resolve()
    path = (folder / weights["file"]).resolve()
    if path.parent != folder:
        raise InputError(
            f"The weights of model '{name}' lie outside its folder, which is refused; install the model again."
        )
    try:
        raw = path.read_bytes() if path.stat().st_size == weights["bytes"] else None
    except OSError as error:
        raise InputError(
            f"The weights of model '{name}' cannot be read ({error.strerror}); install the model again."
        ) from error
    if raw is None or hashlib.sha256(raw).hexdigest() != weights["sha256"]:
        raise InputError(
            f"The weights of model '{name}' are not those its description names (size or SHA-256 differs): "
            "they were altered or cut off; install the model again."
        )
    return raw


def stored(raw: bytes) -> State:
    """What a checked file holds. Raises whatever torch makes of a file that holds anything but weights."""
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def borrowed(description: ModelDescription, find: Callable[[str], ModelDescription]) -> State:
    """What the description's `shares` take from other models' files, under this model's names.

    Raises InputError where such a model is missing or is not the very one that was meant.
    """
    state: State = {}
    for share in description.shares:
        name, where = share["model"], share["from"]
        try:
            lender = find(name)
            if lender.weights["sha256"] != share["sha256"]:
                raise InputError("It is another version of that model.")
            part = _part(stored(checked_bytes(lender)), where, share["network"])
            if not part:
                raise InputError(f"It has no '{where}'.")
        except InputError as error:
            raise InputError(
                f"The model '{description.name}' shares weights with '{name}', which does not serve: {error} "
                "Install both again."
            ) from error
        state |= part
    return state


def halved(state: State) -> State:
    """In half precision on the CPU. Raises InputError where a number does not fit."""
    return {key: _halved(key, value) for key, value in state.items()}


def shares_of(state: State, initial: Iterable[dict], find: Callable[[str], ModelDescription]) -> list[dict]:
    """`shares` of a model.yaml: of the networks that began as another model's, those that still are, bit for bit.

    state: halved. initial: {"network", "from" (the same by default), "model"} as in a training configuration.
    """
    shares = []
    for entry in initial:
        network = entry["network"]
        where = entry.get("from", network)
        lender = find(entry["model"])
        theirs = _part(stored(checked_bytes(lender)), where, network)
        mine = {key for key in state if key.startswith(network + ".")}
        if mine and mine == set(theirs) and all(torch.equal(state[key], theirs[key]) for key in mine):
            digest = lender.weights["sha256"]
            shares.append({"network": network, "from": where, "model": lender.name, "sha256": digest})
    return shares


def without_shared(state: State, shares: list[dict]) -> State:
    """What is left to write; and, of what a file holds, what is left to read: a network that is shared by now."""
    prefixes = tuple(share["network"] + "." for share in shares)
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def packed(state: State) -> bytes:
    """A file's content."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _part(state: State, prefix: str, named: str) -> State:
    """The tensors below `prefix`, named as if below `named`."""
    return {named + key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix + ".")}


def _halved(key: str, value: torch.Tensor) -> torch.Tensor:
    value = value.detach().cpu()
    if not value.is_floating_point():
        return value.clone()
    half = value.to(torch.float16)
    if not torch.isfinite(half).all():
        raise InputError(
            f"The weight '{key}' does not fit half precision (not finite, or beyond 65504); train it again."
        )
    return half.clone().contiguous()
