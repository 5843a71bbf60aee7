"""Results: what a run writes for one pair, or for every frame of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .. import io
from ..core import InputError
from ..io.image import suffix_of

NUMBERED = ("transform", "inverse")  # one file a frame; images of all frames go into one 4D file


class Results:
    """wanted: role to path, None where not wanted. frames: of the moving image."""

    def __init__(self, wanted: dict[str, Path | None], frames: int) -> None:
        self._wanted, self._frames, self._written = wanted, frames, []
        volume = wanted.get("volume")
        if frames > 1 and volume is not None and suffix_of(volume) == ".png":
            raise InputError(f"The output {volume} cannot hold {frames} frames; use .nrrd or .nii.gz instead.")

    def paths(self) -> dict[str, Path | None]:
        """Every file that will be written: role (with the frame's number) to path."""
        if self._frames == 1:
            return self._wanted
        paths: dict[str, Path | None] = {}
        for role, path in self._wanted.items():
            if role in NUMBERED and path is not None:
                paths |= {f"{role} {n}": self._numbered(path, n) for n in range(self._frames)}
                paths[role] = None
            else:
                paths[role] = path
        return paths

    def _numbered(self, path: Path, number: int) -> Path:
        digits = max(3, len(str(self._frames - 1)))
        return path.with_name(f"{path.stem}-{number:0{digits}d}{path.suffix}")

    def add(self, written) -> None:
        """What a pair, or the next frame, gave (a batch.pair.Written)."""
        self._written.append(written)

    def report(self) -> dict:
        """The engine's report; of a sequence one for each frame, under "frames"."""
        reports = [one.report for one in self._written]
        return reports[0] if self._frames == 1 else {"frames": reports}

    def writers(self) -> dict[str, Callable[[Path], None]]:
        """Role to what writes it."""
        if self._frames == 1:
            one = self._written[0]
            return {
                "transform": lambda path: io.write_transform(one.transform, path),
                "inverse": lambda path: io.write_transform(one.inverse, path),
                "volume": lambda path: io.write_image(one.volume, path, one.volume_pixel),
                "translated": lambda path: io.write_image(one.translated, path, one.translated_pixel),
                "labels": lambda path: io.write_image(one.labels, path, one.labels_pixel),
            }
        writers: dict[str, Callable[[Path], None]] = {}
        for n, one in enumerate(self._written):
            writers[f"transform {n}"] = lambda path, one=one: io.write_transform(one.transform, path)
            writers[f"inverse {n}"] = lambda path, one=one: io.write_transform(one.inverse, path)
        first = self._written[0]
        writers["volume"] = lambda path: io.write_series_of([w.volume for w in self._written], path, first.volume_pixel)
        writers["translated"] = lambda path: io.write_series_of(
            [w.translated for w in self._written], path, first.translated_pixel
        )
        return writers
