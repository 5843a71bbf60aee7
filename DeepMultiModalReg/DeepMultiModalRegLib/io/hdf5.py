"""HDF5 as ITK's transform reader wants it: groups, strings, arrays of numbers, deflated. Same data, same bytes.

ITK's own writer puts the time, the operating system and every number in double precision and uncompressed into its
files. The layout here follows the HDF5 File Format Specification 3.0 (The HDF Group, 2016): superblock 0, object
headers 1 with link messages, version 1 B-trees for chunks; any HDF5 library from 1.8 on reads it.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

_UNDEFINED = b"\xff" * 8
_CHUNKS = 64  # of an array at most: what one node of the chunks' tree holds (HDF5's default, twice 32)
_SHUFFLE, _DEFLATE, _LEVEL = 2, 1, 4  # numbers of HDF5's filters; zlib's level: 2 % above 6, in half the time
_SMALL = 256  # numbers: an array of fewer is stored as it is
_BYTE = struct.pack("<BBHIHH", 0x10, 0, 0, 1, 0, 8)  # a datatype: one byte, of which strings are made
_FLOATS = {
    "float32": struct.pack("<4sIHHBBBBI", b"\x11\x20\x1f\x00", 4, 0, 32, 23, 8, 0, 23, 127),
    "float64": struct.pack("<4sIHHBBBBI", b"\x11\x20\x3f\x00", 8, 0, 64, 52, 11, 0, 52, 1023),
}


def hdf5(tree: dict, together: int = 1) -> bytes:
    """The bytes of a file with `tree`: name to dict (a group), ASCII str, or one-dimensional float32 or float64 array.

    together: numbers that belong to one point (the components of a vector): they are parted before deflating, and
    shrink better.
    """
    file = _File(together)
    root = file.group(tree)
    file.parts[0] = _superblock(root, file.length)
    return b"".join(file.parts)


def _superblock(root: int, length: int) -> bytes:
    head = b"\x89HDF\r\n\x1a\n" + struct.pack("<8BHHI", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0)
    addresses = struct.pack("<Q", 0) + _UNDEFINED + struct.pack("<Q", length) + _UNDEFINED
    return head + addresses + struct.pack("<QQII16x", 0, root, 0, 0)


class _File:
    """Pieces one after the other; each is written when what it points to has its place already."""

    def __init__(self, together: int) -> None:
        self.together = together
        self.parts = [bytes(96)]  # the superblock comes last
        self.length = 96

    def put(self, piece: bytes) -> int:
        """Appends a piece; its address."""
        address = self.length
        piece += bytes(-len(piece) % 8)
        self.parts.append(piece)
        self.length += len(piece)
        return address

    def header(self, messages: list[tuple[int, bytes]]) -> int:
        """An object header of messages (number, content)."""
        body = b""
        for number, content in messages:
            content += bytes(-len(content) % 8)
            body += struct.pack("<HHB3x", number, len(content), 0) + content
        return self.put(struct.pack("<BBHII4x", 1, 0, len(messages), 1, len(body)) + body)

    def group(self, tree: dict) -> int:
        links = []
        for name, value in tree.items():
            kind = self.group if isinstance(value, dict) else self.text if isinstance(value, str) else self.numbers
            encoded = name.encode("ascii")
            links.append((6, struct.pack("<BBB", 1, 0, len(encoded)) + encoded + struct.pack("<Q", kind(value))))
        return self.header([(2, b"\0\0" + _UNDEFINED + _UNDEFINED), (10, b"\0\0"), *links])

    def dataset(self, count: int, kind: bytes, layout: bytes, filters: bytes | None = None) -> int:
        space = struct.pack("<BBB5xQ", 1, 1, 0, count)
        fill = bytes([2, 2 if filters is None else 3, 2, 0])
        more = [] if filters is None else [(11, filters)]
        return self.header([(1, space), (3, kind), (5, fill), (8, layout), *more])

    def text(self, value: str) -> int:
        """A string of variable length, which lies in a heap of its own."""
        raw = value.encode("ascii")
        item = struct.pack("<HHIQ", 1, 1, 0, len(raw)) + raw + bytes(-len(raw) % 8)
        size = 4096  # the least that a heap may have
        heap = b"GCOL" + struct.pack("<B3xQ", 1, size) + item
        heap += struct.pack("<HHIQ", 0, 0, 0, size - len(heap))
        data = self.put(struct.pack("<IQI", len(raw), self.put(heap.ljust(size, b"\0")), 1))
        return self.dataset(1, b"\x19\x01\0\0" + struct.pack("<I", 16) + _BYTE, struct.pack("<BBQQ", 3, 1, data, 16))

    def numbers(self, array: np.ndarray) -> int:
        kind, size = _FLOATS[array.dtype.name], array.dtype.itemsize
        raw = np.ascontiguousarray(array).ravel().astype(array.dtype.newbyteorder("<"), copy=False)
        if raw.size < _SMALL:
            return self.dataset(raw.size, kind, struct.pack("<BBQQ", 3, 1, self.put(raw.tobytes()), raw.nbytes))
        chunk = max(1 << 12, -(-raw.size // _CHUNKS))
        chunk += -chunk % self.together
        keys = b""
        for first in range(0, raw.size, chunk):
            packed = self.packed(raw[first : first + chunk], chunk)
            keys += struct.pack("<IIQQQ", len(packed), 0, first, 0, self.put(packed))
        used = len(keys) // 32
        keys += struct.pack("<IIQQ", 0, 0, used * chunk, 0)
        node = b"TREE" + struct.pack("<BBH", 1, 0, used) + _UNDEFINED + _UNDEFINED + keys
        node = node.ljust(24 + _CHUNKS * 8 + (_CHUNKS + 1) * 24, b"\0")
        filters = struct.pack("<BB6x", 1, 2)
        for number, value in ((_SHUFFLE, size * self.together), (_DEFLATE, _LEVEL)):
            filters += struct.pack("<HHHHI4x", number, 0, 0, 1, value)
        return self.dataset(raw.size, kind, struct.pack("<BBBQII", 3, 2, 2, self.put(node), chunk, size), filters)

    def packed(self, part: np.ndarray, chunk: int) -> bytes:
        """A chunk, filled up with zeros, through both filters: first bytes of all points together, then second ..."""
        whole = np.zeros(chunk, part.dtype)
        whole[: part.size] = part
        points = whole.view(np.uint8).reshape(-1, part.dtype.itemsize * self.together)
        return zlib.compress(np.ascontiguousarray(points.T).tobytes(), _LEVEL)
