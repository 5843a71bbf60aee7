"""Deformable registration of images of different modality: what the Slicer module and the command line run."""

__version__ = "0.1.0"
