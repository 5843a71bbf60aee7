"""Picture: what was read from a file, ready to be registered and to be resampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..core import Grid, Image, InputError
from .pixel import PixelInfo

LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue: ITU-R BT.709
_LABELS = "1002"  # NIfTI's intent code of label maps
_SEGMENT = "Segment0_ID"  # key of Slicer's .seg.nrrd


@dataclass(frozen=True)
class Picture:
    """image: one channel, what is registered. whole: all its channels, what is resampled (the same image where there
    is one). pixel: the file's number type. labels: the file says of itself that its values are labels. notes: what
    was chosen from the file, in sentences for the report."""

    image: Image
    whole: Image
    pixel: PixelInfo
    labels: bool = False
    notes: tuple[str, ...] = ()


def picture_of(
    picture: sitk.Image, grid: Grid, path: Path, channel: str | int | None = None, frame: int | None = None
) -> Picture:
    """A SimpleITK image as a Picture; see io.read_picture."""
    if "complex" in picture.GetPixelIDTypeAsString():
        raise InputError(f"The image {path} has complex voxels; save its magnitude and give that.")
    view = sitk.GetArrayViewFromImage(picture)
    pixel = PixelInfo(view.dtype.name)
    notes = [] if frame is None else [f"Frame {frame} of {path.name} was taken."]
    components = picture.GetNumberOfComponentsPerPixel()
    if components == 1:
        check_channel(channel, 1, str(path))
        image = Image(torch.from_numpy(view.astype(pixel.in_memory))[None], grid)
        return Picture(image, image, pixel, _is_label_map(picture), tuple(notes))
    array = np.moveaxis(view, -1, 0)
    if channel is None and components in (3, 4) and (array[1:3] == array[:1]).all():
        array = array[:1]  # a grey picture that was saved in colour is grey
    whole = Image(torch.from_numpy(array.astype(pixel.in_memory, order="C")), grid)
    image, note = one_channel(whole, channel, str(path), pixel.dtype in ("uint8", "uint16"))
    return Picture(image, whole, pixel, False, tuple(notes + [note] if note else notes))


def one_channel(image: Image, channel: str | int | None, name: str, colour: bool) -> tuple[Image, str]:
    """One channel of an image of several, and a sentence on how it was made; see io.read_picture.

    colour: three or four channels are red, green, blue (and opacity), not a vector. Raises InputError where the image
    has no such channel.
    """
    count = image.channels
    check_channel(channel, count, name)
    if count == 1:
        return image, ""
    colour = colour and count in (3, 4)
    channel = ("luminance" if colour else "length") if channel is None else channel
    if channel == "luminance":
        weights = torch.tensor(LUMINANCE)
        tensor = torch.einsum("c,c...->...", weights, image.tensor[:3].float())[None]
        return image.with_tensor(tensor), f"The image {name} is in colour: its luminance was registered."
    if channel == "length":
        tensor = image.tensor.float().square().sum(0, keepdim=True).sqrt()
        return image.with_tensor(tensor), f"The image {name} has {count} channels: their length was registered."
    number = int(channel)
    tensor = image.tensor[number : number + 1].clone()
    return image.with_tensor(tensor), f"The image {name} has {count} channels: channel {number} was registered."


def check_channel(channel: str | int | None, count: int, name: str) -> None:
    """Raises InputError where an image of `count` channels has no such channel."""
    if channel is None or (channel == "length" and count > 1) or (channel == "luminance" and count in (3, 4)):
        return
    number = int(channel) if str(channel).isdigit() else -1
    if not 0 <= number < count:
        raise InputError(
            f"The image {name} has no channel '{channel}': it has {count}, counted from 0; "
            "choose one of them, luminance (of three colours), or length (of a vector)."
        )


def _is_label_map(picture: sitk.Image) -> bool:
    intent = picture.GetMetaData("intent_code") if picture.HasMetaDataKey("intent_code") else ""
    return intent == _LABELS or picture.HasMetaDataKey(_SEGMENT)
