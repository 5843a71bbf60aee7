"""PNG files small enough for the repository: 256 colours, chosen for the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6 import QtCore, QtGui


def save_small(image: QtGui.QImage, path: Path) -> None:
    """Writes the picture with the 256 colours that fit it best."""
    rgb = image.convertToFormat(QtGui.QImage.Format_RGB888)
    lines = np.frombuffer(rgb.constBits(), np.uint8).reshape(rgb.height(), rgb.bytesPerLine())
    pixels = lines[:, : 3 * rgb.width()].reshape(-1, 3)
    table = [QtGui.qRgb(*(int(v) for v in colour)) for colour in palette(pixels)]
    few = rgb.convertToFormat(QtGui.QImage.Format_Indexed8, table, QtCore.Qt.ThresholdDither)
    assert few.save(str(path), "PNG", 0)


def palette(pixels: np.ndarray, most: int = 256) -> list[np.ndarray]:
    """At most so many colours for pixels (N, 3) uint8: by median cuts of their cube (Heckbert, SIGGRAPH 1982)."""
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    boxes = [np.arange(len(colours))]
    while len(boxes) < most:
        spread = [np.ptp(colours[box].astype(int), axis=0).max() * np.sqrt(counts[box].sum()) for box in boxes]
        if max(spread) == 0:
            break
        box = boxes.pop(int(np.argmax(spread)))
        axis = int(np.ptp(colours[box].astype(int), axis=0).argmax())
        box = box[np.argsort(colours[box][:, axis], kind="stable")]
        total = counts[box].cumsum()
        half = min(max(1, int(np.searchsorted(total, total[-1] / 2))), len(box) - 1)
        boxes += [box[:half], box[half:]]
    return [np.average(colours[box], axis=0, weights=counts[box]).round() for box in boxes]
