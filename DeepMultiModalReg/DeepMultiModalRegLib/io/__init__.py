"""Images and transforms on disk, through SimpleITK. Every file appears whole or not at all."""

from .atomic import replacing, require_writable, write_json, write_text
from .image import count_frames, read_image, read_picture, write_image, write_series_of
from .picture import Picture
from .pixel import PixelInfo
from .transform import from_sitk, read_transform, to_sitk, write_transform

__all__ = [
    "Picture", "PixelInfo", "count_frames", "from_sitk", "read_image", "read_picture", "read_transform", "replacing",
    "require_writable", "to_sitk", "write_image", "write_json", "write_series_of", "write_text", "write_transform",
]  # fmt: skip
