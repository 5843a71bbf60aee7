"""Classical: the methods without weights that are chosen by name as models are: rigid and affine."""

from __future__ import annotations

from dataclasses import dataclass

from .pose import KINDS


@dataclass(frozen=True)
class Classical:
    """A pose as the whole result; `engine.align` finds it. Its transform is an Affine, unless it is refined."""

    name: str
    dimension: int
    reason: str = "chosen by the caller"
    modalities: tuple[str, ...] = ("any",)

    def describe(self) -> dict:
        """For the report, as of a model; there are no weights."""
        return {"name": self.name, "sha256": "", "dimension": self.dimension, "reason": self.reason}

    @classmethod
    def named(cls, model: object, dimension: int) -> Classical | None:
        """The method of that name, or None where `model` is none of them."""
        return cls(model, dimension) if isinstance(model, str) and model in KINDS else None
