"""The registration engine: from two images to a transform. Plain Python, no Slicer."""

from .catalogue import LoadedModel, find, installed_models, load, write_model
from .registration import register
from .result import Result

__all__ = ["LoadedModel", "Result", "find", "installed_models", "load", "register", "write_model"]
