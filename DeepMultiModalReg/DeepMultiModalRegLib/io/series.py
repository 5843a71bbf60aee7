"""Series: a folder with the DICOM files of one volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core import InputError

_NAMED = 5  # series that a sentence names


def read_series(folder: Path) -> sitk.Image:
    """The volume of the DICOM series in a folder. Raises InputError for none, several, or slices unevenly spaced; what
    ITK raises passes."""
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise InputError(f"The folder {folder} holds no DICOM series; give a DICOM folder or an image file.")
    if len(series) > 1:
        named = "; ".join(_described(folder, one) for one in series[:_NAMED])
        more = f"; and {len(series) - _NAMED} more" if len(series) > _NAMED else ""
        raise InputError(
            f"The folder {folder} holds {len(series)} DICOM series ({named}{more}); put the files of the one to "
            "register into a folder of its own."
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    picture = reader.Execute()
    key = "0020|0032"  # ImagePositionPatient
    if len(files) > 2 and all(reader.HasMetaDataKey(n, key) for n in range(len(files))):
        position = np.array([[float(v) for v in reader.GetMetaData(n, key).split("\\")] for n in range(len(files))])
        gaps = np.linalg.norm(np.diff(position, axis=0), axis=1)
        if gaps.max() > 1.5 * gaps.min():
            raise InputError(
                f"The DICOM slices in {folder} are not evenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm apart): "
                "some are missing or doubled. Export the whole series again, or resample it."
            )
    return picture


def _described(folder: Path, series: str) -> str:
    """A series in words: number, description, modality, files, and the name of the first file."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series)
    reader = sitk.ImageFileReader()
    reader.SetFileName(files[0])
    words = []
    try:
        reader.ReadImageInformation()
        # Modality, SeriesNumber, SeriesDescription
        for key in ("0008|0060", "0020|0011", "0008|103e"):
            if reader.HasMetaDataKey(key):
                words.append(" ".join(reader.GetMetaData(key).split()))
    except (RuntimeError, UnicodeDecodeError):
        pass  # the files are counted all the same
    label = " ".join(word for word in words if word) or "unnamed"
    return f"{label}: {len(files)} files, the first {Path(files[0]).name}"
