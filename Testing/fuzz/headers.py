"""Files with odd headers: a sound file of each format, and one thing in it changed."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from random import Random

import numpy as np

SIZE = (18, 16, 14)
WHOLE = (-32768, -1, 0, 1, 2, 3, 4, 5, 7, 8, 255, 32767)
NUMBERS = (0.0, -1.0, 1e-30, 1e-6, 0.5, 3.0, 1e6, 1e30, float("nan"), float("inf"), -float("inf"))
_CODES = {2: "<u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "<i1", 512: "<u2", 768: "<u4", 1024: "<i8"}


def lump(size: tuple[int, ...] = SIZE, shift: float = 0.0) -> np.ndarray:
    """A smooth lump, brightest at its middle, on a dark ground: (K, J, I) float64 from 0 to 900."""
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in size[::-1]]
    grids = np.meshgrid(*axes, indexing="ij")
    distance = sum((g - 0.3 * shift * (n % 2)) ** 2 for n, g in enumerate(grids))
    texture = 60 * np.sin(7 * grids[-1] + 2) * np.cos(5 * grids[0])
    return np.where(distance < 0.7, np.clip(900 * (1 - distance) + texture, 1, 900), 0.0)


def nifti(random: Random, path: Path) -> None:
    """A NIfTI-1 file of which one to three fields of the header hold anything."""
    code = random.choice(list(_CODES))
    array = lump().astype(_CODES[code])
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *SIZE, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, code, array.dtype.itemsize * 8)
    struct.pack_into("<8f", header, 76, 1, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[123] = 2
    struct.pack_into("<hh", header, 252, 1, 0)
    header[344:348] = b"n+1\0"
    fields = [("h", 40), *[("h", 42 + 2 * n) for n in range(7)], ("h", 70), ("h", 72), *[("f",
    76 + 4 * n) for n in range(8)],
              ("f", 108), ("f", 112), ("f", 116), ("B", 123), ("h", 252), ("h", 254), ("h", 68), ("i", 0),
              *[("f", 256 + 4 * n) for n in range(6)], *[("f", 280 + 4 * n) for n in range(12)]]  # fmt: skip
    for _ in range(random.randint(1, 3)):
        kind, place = random.choice(fields)
        if kind == "f":
            struct.pack_into("<f", header, place, random.choice(NUMBERS))
        else:
            limits = {"h": (-32768, 32767), "i": (-(2**31), 2**31 - 1), "B": (0, 255)}[kind]
            value = random.choice(WHOLE + (random.randint(*limits), 4096, 16, 1002, 128, 32))
            struct.pack_into(f"<{kind}", header, place, min(max(value, limits[0]), limits[1]))
    if random.random() < 0.3:  # the axes by the sform, which may then be anything
        struct.pack_into("<h", header, 254, 1)
        rows = [random.choice((*NUMBERS, 2.0, 2.0, 2.0, 0.4)) if random.random() < 0.4 else 2.0 * (n in (0, 5, 10))
                for n in range(12)]  # fmt: skip
        struct.pack_into("<12f", header, 280, *rows)
    raw = bytes(header) + array.tobytes()
    path.write_bytes(gzip.compress(raw, 1) if path.name.endswith(".gz") else raw)


def _edited(random: Random, lines: list[str], values: dict[str, list[str]], mark: str) -> list[str]:
    """One to three lines changed, left out, doubled or moved."""
    lines = list(lines)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(lines))
        deed = random.choice(("value", "value", "value", "value", "out", "twice", "swap"))
        key = lines[at].split(mark)[0]
        if deed == "value":
            at = random.randrange(len(lines))
            key = lines[at].split(mark)[0]
            lines[at] = f"{key}{mark} {random.choice(values.get(key.strip(), ['', 'nonsense', '-1', 'nan']))}"
        elif deed == "out" and len(lines) > 2:
            del lines[at]
        elif deed == "twice":
            lines.insert(at, lines[at])
        else:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return lines


NRRD = {
    "NRRD0004": ["", "x"],
    "type": ["uchar", "double", "float", "int64", "block", "string", "", "short short"],
    "dimension": ["0", "1", "2", "4", "17", "-3", "x", "3.5"],
    "space": ["right-anterior-superior", "scanner-xyz", "left-posterior-superior-time", "nowhere", ""],
    "sizes": ["0 16 14", "-18 16 14", "18 16", "18 16 14 2", "999999 999999 999999", "18 16 13", "18 16 15", "a b c"],
    "space directions": ["(0,0,0) (0,2,0) (0,0,2)", "(2,0,0) (2,0,0) (0,0,2)", "(nan,0,0) (0,2,0) (0,0,2)",
                         "none none none",
                         "(2,0.5,0) (0,2,0) (0.3,0,2)", "(1e30,0,0) (0,2,0) (0,0,2)", "(2,0) (0,2)",
                         "(1e-9,0,0) (0,1,0) (0,0,1)",
                         "(2,0,0) (0,2,0) none", "((2,0,0)"],
    "kinds": ["vector domain domain", "list domain domain", "domain domain", "domain domain time", "x y z",
              "complex domain domain"],
    "endian": ["big", "", "middle"],
    "encoding": ["gzip", "ascii", "hex", "bzip2", "txt", "none", ""],
    "space origin": ["(nan,0,0)", "(1e30,0,0)", "(0,0)", "0 0 0", "(inf,0,0)", "(1e12,-1e12,0)"],
}  # fmt: skip


def nrrd(random: Random, path: Path) -> None:
    lines = ["type: short", "dimension: 3", "space: left-posterior-superior", f"sizes: {' '.join(map(str, SIZE))}",
             "space directions: (2,0,0) (0,2,0) (0,0,2)", "kinds: domain domain domain", "endian: little",
             "encoding: raw",
             "space origin: (1,2,3)"]  # fmt: skip
    lines = _edited(random, lines, NRRD, ":")
    if random.random() < 0.15:
        lines.append(
            "data file: "
            + random.choice(("absent.raw", "../fixed.nrrd", "/etc/hostname", ".", "LIST\nx.raw", "%d 1 3 1"))
        )
    end = "\n\n" if random.random() < 0.95 else "\n"
    path.write_bytes(("NRRD0004\n" + "\n".join(lines) + end).encode() + lump().astype("<i2").tobytes())


META = {
    "ObjectType": ["Mesh", "", "Tube"],
    "NDims": ["0", "1", "2", "4", "11", "-3", "3000000000", "x"],
    "BinaryData": ["False", "x"],
    "CompressedData": ["True", "x"],
    "TransformMatrix": ["1 0 0 1 0 0 0 0 1", "nan 0 0 0 1 0 0 0 1", "1 0.3 0 0 1 0 0 0.2 1", "0 0 0 0 0 0 0 0 0",
                        "1 0 0", "1e30 0 0 0 1 0 0 0 1"],
    "Offset": ["nan 0 0", "1e30 0 0", "0 0", "inf 0 0", "a b c"],
    "ElementSpacing": ["0 2 2", "-2 2 2", "nan 2 2", "1e-30 2 2", "1e30 2 2", "2 2", "inf 2 2"],
    "DimSize": ["0 16 14", "-18 16 14", "18 16", "18 16 14 2", "999999 999999 999999", "18 16 13", "18 16 15", "x"],
    "ElementNumberOfChannels": ["0", "2", "3", "-1", "9999"],
    "ElementType": ["MET_UCHAR", "MET_DOUBLE", "MET_NONE", "MET_LONG_LONG", "MET_STRING", "x", "MET_FLOAT_ARRAY"],
    "ElementDataFile": ["absent.raw", "../fixed.nrrd", ".", "", "LIST", "/etc/hostname", "x%02d.raw 1 3 1", "LOCAL"],
}  # fmt: skip


def meta(random: Random, path: Path) -> None:
    """A .mha or .mhd file."""
    local = path.suffix == ".mha"
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "CompressedData = False",
    "TransformMatrix = 1 0 0 0 1 0 0 0 1",
             "Offset = 1 2 3", "ElementSpacing = 2 2 2", f"DimSize = {' '.join(map(str, SIZE))}",
             "ElementNumberOfChannels = 1",
             "ElementType = MET_SHORT", f"ElementDataFile = {'LOCAL' if local else path.stem + '.raw'}"]  # fmt: skip
    voxels = lump().astype("<i2").tobytes()
    text = ("\n".join(_edited(random, lines, META, " =")) + "\n").encode()
    path.write_bytes(text + voxels if local else text)
    if not local:
        path.with_suffix(".raw").write_bytes(voxels[: random.choice((None, None, -1, 100, 0))])
