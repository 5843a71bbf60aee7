"""Region: the part of a volume that shows anything, as a box in each of its planes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Box = tuple[int, int, int, int]  # first row J and last, first column I and last; last ones excluded


@dataclass(frozen=True)
class Region:
    """shape: of the volume (K, J, I). boxes: one for each plane, None where it shows nothing."""

    shape: tuple[int, ...]
    boxes: tuple[Box | None, ...]

    @classmethod
    def of(cls, shown: Tensor, margin: int) -> Region:
        """shown: (K, J, I) bool. The boxes reach `margin` voxels further in every direction, over planes too."""
        ends = []
        for line in (shown.any(2), shown.any(1)):  # (K, J), (K, I)
            size, line = line.shape[1], line.int()
            some = line.amax(1) > 0
            first = torch.where(some, line.argmax(1), size)
            last = torch.where(some, size - line.flip(1).argmax(1), 0)
            for sign, end in ((-1, first), (1, last)):  # the lowest and the highest of the planes near by
                wide = F.max_pool1d(sign * end[None].float(), 2 * margin + 1, 1, margin)[0].long()
                ends.append((sign * (wide + margin)).clamp(0, size).tolist())
        boxes = zip(*ends, strict=True)
        return cls(tuple(shown.shape), tuple(b if b[0] < b[1] and b[2] < b[3] else None for b in boxes))

    def coarser(self, factor: int) -> Region:
        """Of the volume whose voxels cover `factor` of these a side."""
        if factor == 1:
            return self
        shape = tuple(n // factor for n in self.shape)
        boxes = []
        for k in range(shape[0]):
            box = self.box(k * factor, (k + 1) * factor)
            if box is not None:
                a, b, c, d = box
                box = a // factor, min(shape[1], -(-b // factor)), c // factor, min(shape[2], -(-d // factor))
            boxes.append(box)
        return Region(shape, tuple(boxes))

    def box(self, low: int, high: int) -> Box | None:
        """Of the planes low to high (excluded), all in one; None where they show nothing."""
        some = [box for box in self.boxes[low:high] if box is not None]
        if not some:
            return None
        a, b, c, d = zip(*some, strict=True)
        return min(a), max(b), min(c), max(d)

    def slabs(self, voxels: int) -> list[tuple[int, int, Box]]:
        """(first plane, last plane excluded, box) of at most about `voxels` each: together all of the region."""
        out, low = [], 0
        while low < self.shape[0]:
            box, high = self.boxes[low], low + 1
            while box is not None and high < self.shape[0] and self.boxes[high] is not None:
                wider = self.box(low, high + 1)
                if (high + 1 - low) * (wider[1] - wider[0]) * (wider[3] - wider[2]) > voxels:
                    break
                box, high = wider, high + 1
            if box is not None:
                out.append((low, high, box))
            low = high
        return out


def whole(shape: tuple[int, ...]) -> Region:
    """All of a volume."""
    return Region(tuple(shape), ((0, shape[1], 0, shape[2]),) * shape[0])
