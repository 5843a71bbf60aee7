"""HDF5 files without their time stamps: the same transform is then the same bytes, whenever it was written.

ITK's transform files (.h5) carry in the header of each object when it was made and changed, to the second; SimpleITK
offers no way to leave that out. Layout: HDF5 File Format Specification 3.0, IV.A.1.b (object header, version 2).
"""

from __future__ import annotations

import mmap
import os
import struct

_SIGNATURE = b"OHDR"
_TIMES, _PHASES = 0x20, 0x10  # flags: four times follow; limits of attribute storage follow
_MASK = 0xFFFFFFFF


def erase_times(path: str | os.PathLike) -> int:
    """Sets the times in every object header of the HDF5 file to 0 (1970) and renews the headers' checksums, in place.

    Only what carries a right checksum is taken for a header, so no number of a field can be mistaken for one. Returns
    how many headers were changed.
    """
    changed = 0
    if os.path.getsize(path) == 0:  # nothing to map into memory
        return 0
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        at = data.find(_SIGNATURE)
        while at >= 0:
            changed += _erased(data, at)
            at = data.find(_SIGNATURE, at + 4)
    return changed


def _erased(data: mmap.mmap, at: int) -> bool:
    if at + 22 > len(data) or data[at + 4] != 2 or not data[at + 5] & _TIMES:
        return False
    flags = data[at + 5]
    place = at + 22 + (4 if flags & _PHASES else 0)
    width = 1 << (flags & 3)
    end = place + width + int.from_bytes(data[place : place + width], "little")
    if end + 4 > len(data) or end - at > 1 << 20:
        return False
    if struct.unpack("<I", data[end : end + 4])[0] != lookup3(data[at:end]):
        return False
    data[at + 6 : at + 22] = bytes(16)
    data[end : end + 4] = struct.pack("<I", lookup3(data[at:end]))
    return True


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash of 2006 ("hashlittle" with the initial value 0), HDF5's checksum of metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    whole = max(0, (len(data) - 1) // 12) * 12
    for x, y, z in struct.iter_unpack("<III", data[:whole]):
        a, b, c = _mixed((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
    rest = data[whole:]
    if not rest:
        return c
    x, y, z = struct.unpack("<III", rest.ljust(12, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):  # after each step the three change places
        a = ((a - c) & _MASK) ^ _turned(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in ((14, 11, 25), (16, 4, 14), (24, None, None)):
        c = ((c ^ b) - _turned(b, bits[0])) & _MASK
        if bits[1] is None:
            break
        a = ((a ^ c) - _turned(c, bits[1])) & _MASK
        b = ((b ^ a) - _turned(a, bits[2])) & _MASK
    return c
