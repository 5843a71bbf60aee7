"""Cube: the 24 turns that bring a cubic lattice onto itself, exact on voxels: no interpolation."""

from __future__ import annotations

from itertools import permutations, product

import torch
from torch import Tensor


def cube_turns() -> Tensor:
    """(24, 3, 3): rotation matrices over the index axes (I, J, K), the one that turns nothing first."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = torch.zeros(3, 3)
            for row, (column, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[row, column] = sign
            if torch.linalg.det(matrix) > 0:
                found.append(matrix)
    return torch.stack(found)


def turned(volumes: Tensor, turn: Tensor) -> Tensor:
    """(..., n, n, n) read at turn(x), x the index (I, J, K) about the lattice's middle; turn one of `cube_turns`."""
    first = volumes.dim() - 3
    # index axis a of the result runs along axis `source` of the input: component source of turn(x) is sign * x_a
    source = turn.abs().argmax(0).tolist()
    flips = [first + 2 - source[a] for a in range(3) if turn[source[a], a] < 0]
    flipped = volumes.flip(flips) if flips else volumes
    # tensor axes run K, J, I
    order = [first + 2 - source[2 - t] for t in range(3)]
    return flipped.permute(*range(first), *order)
