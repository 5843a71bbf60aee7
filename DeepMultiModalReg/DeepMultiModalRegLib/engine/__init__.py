"""The registration engine: from two images to a transform. Plain Python, no Slicer."""

from .catalogue import LoadedModel, catalogue, find, load, write_model
from .register import register
from .result import Result

__all__ = ["LoadedModel", "Result", "catalogue", "find", "load", "register", "write_model"]
