"""Images, lattices and transforms in LPS millimetres, on torch tensors."""

from .algebra import compose, halfway, invert
from .errors import Cancelled, InputError, MemoryShortage, RegistrationError
from .grid import Grid
from .image import Image, canonical_axes, reorient, reoriented_grid
from .jacobian import folds, jacobian_determinant
from .resample import resample
from .sampling import sample
from .transform import Affine, Composite, DenseField, Transform, split

__all__ = [
    "Affine",
    "Cancelled",
    "Composite",
    "DenseField",
    "Grid",
    "Image",
    "InputError",
    "MemoryShortage",
    "RegistrationError",
    "Transform",
    "canonical_axes",
    "compose",
    "folds",
    "halfway",
    "invert",
    "jacobian_determinant",
    "reorient",
    "reoriented_grid",
    "resample",
    "sample",
    "split",
]
