"""Deformable registration of images of different modality: the library behind the Slicer module and the command line."""

__version__ = "0.1.0"
