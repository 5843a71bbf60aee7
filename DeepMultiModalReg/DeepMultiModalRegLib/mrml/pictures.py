"""Labelled pictures of views, as PNG. Only VTK's fonts and writers: nothing is drawn by a graphics driver here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vtk
from vtk.util import numpy_support

from ..core import InputError
from ..io import replacing

BACKGROUND = (24, 26, 30)
TITLE, LABEL, FAINT = (240, 240, 240), (205, 210, 218), (130, 136, 146)
GAP = 6  # pixels between pictures
EDGE = 14  # around all of them


def text(words: str, points: int = 13, colour: tuple[int, int, int] = LABEL, bold: bool = False) -> np.ndarray:
    """(height, width, 3) uint8: the words on the background's colour."""
    style = vtk.vtkTextProperty()
    style.SetFontFamilyToArial()
    style.SetFontSize(points)
    style.SetBold(bold)
    style.SetColor(1, 1, 1)
    data, size = vtk.vtkImageData(), [0, 0]
    vtk.vtkTextRenderer.GetInstance().RenderString(style, words, data, size, 96)
    width, height, _ = data.GetDimensions()
    pixels = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars()).reshape(height, width, 4)
    cover = pixels[size[1] - 1 :: -1, : size[0], 3:].astype(float) / 255  # VTK pads the image to powers of two
    return (cover * np.array(colour) + (1 - cover) * np.array(BACKGROUND)).round().astype(np.uint8)


def mosaic(rows: Sequence[tuple[str, Sequence[np.ndarray]]], title: str, columns: Sequence[str] = ()) -> np.ndarray:
    """Rows of pictures (height, width, 3) of one size, each row under its words; the columns named below."""
    width = max(sum(p.shape[1] for p in row) + GAP * (len(row) - 1) for _, row in rows)
    parts = [_line(text(title, 17, TITLE, bold=True), width, 12)]
    for words, row in rows:
        parts.append(_line(text(words, 13), width, 5))
        parts.append(_padded(_beside(row), width))
        parts.append(_band(width, GAP + 4))
    if columns:
        places = np.cumsum([0] + [p.shape[1] + GAP for p in rows[0][1]])
        names = _band(width, 18)
        for place, name in zip(places, columns, strict=False):
            label = text(name, 11, FAINT)
            names[: min(18, label.shape[0]), place : place + label.shape[1]] = label[:18]
        parts.append(names)
    inner = np.concatenate(parts)
    out = _band(inner.shape[1] + 2 * EDGE, inner.shape[0] + 2 * EDGE)
    out[EDGE:-EDGE, EDGE:-EDGE] = inner
    return out


def write_png(pixels: np.ndarray, path: str | os.PathLike) -> Path:
    """(height, width, 3) uint8, top row first, as a PNG, whole or not at all. InputError when it cannot be written."""
    data = vtk.vtkImageData()
    data.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
    flat = np.ascontiguousarray(pixels[::-1]).reshape(-1, 3)
    data.GetPointData().SetScalars(numpy_support.numpy_to_vtk(flat, deep=True))
    with replacing(path) as temporary:
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(temporary))
        writer.SetInputData(data)
        writer.Write()
        if writer.GetErrorCode():
            raise InputError(f"The picture {path} cannot be written; check the folder and the free space.")
    return Path(path)


def _beside(row: Sequence[np.ndarray]) -> np.ndarray:
    parts = []
    for picture in row:
        parts += [picture, _band(GAP, picture.shape[0])]
    return np.concatenate(parts[:-1], 1)


def _band(width: int, height: int) -> np.ndarray:
    return np.broadcast_to(np.array(BACKGROUND, dtype=np.uint8), (height, width, 3)).copy()


def _padded(picture: np.ndarray, width: int) -> np.ndarray:
    return np.concatenate([picture[:, :width], _band(max(0, width - picture.shape[1]), picture.shape[0])], 1)


def _line(label: np.ndarray, width: int, below: int) -> np.ndarray:
    return np.concatenate([_padded(label, width), _band(width, below)])
