"""Images and transforms on disk, through SimpleITK. Every file appears whole or not at all."""

from .atomic import replacing, require_writable, write_json, write_text
from .image import read_image, write_image
from .pixel import PixelInfo
from .transform import from_sitk, read_transform, to_sitk, write_transform

__all__ = [
    "PixelInfo", "from_sitk", "read_image", "read_transform", "replacing", "require_writable", "to_sitk", "write_image",
    "write_json", "write_text", "write_transform",
]
