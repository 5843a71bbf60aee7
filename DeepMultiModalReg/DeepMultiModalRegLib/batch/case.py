"""Case: one pair of a list, and what is the same for all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

INPUTS = ("fixed", "moving", "fixed_mask", "moving_mask")


@dataclass(frozen=True)
class Settings:
    """What is asked of every case; see engine.register. threads: of each worker: sums of floats depend on it, so it is
    fixed however many workers there are. format: suffix of the written images."""

    refine_by: str = "mind"
    device: str = "auto"
    seed: int = 0
    fill: float | None = None
    inverse: bool = False
    translated: bool = False
    format: str = "nrrd"
    threads: int = 1

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """id: the list's name for it; folder: its folder's name; files: role to the path as the list has it, relative ones
    counted from `base`. start: a start's name, or (start_file) the path of a transform. line: in the list."""

    id: str
    folder: str
    files: dict[str, str] = field(hash=False)
    base: Path
    model: str | None = None
    start: str = "moments"
    start_file: bool = False
    refine: int = 0
    line: int = 0

    def path(self, role: str) -> Path:
        """Where the file of a role lies, the start's too."""
        return self.base / (self.start if role == "start" else self.files[role])

    def roles(self) -> tuple[str, ...]:
        """The roles that are files."""
        return (*(role for role in INPUTS if role in self.files), *(("start",) if self.start_file else ()))
