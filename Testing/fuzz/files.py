"""Files of every format with odd content: types, values, sizes, places; damaged, renamed, or no file at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import numpy as np
import SimpleITK as sitk

from . import headers
from .headers import SIZE, lump

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
KINDS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def save(array: np.ndarray, path: Path, vector: bool = False, spacing=2.0, origin=0.0, direction=None) -> None:
    picture = sitk.GetImageFromArray(array, isVector=vector)
    d = picture.GetDimension()
    picture.SetSpacing(list(spacing) if np.iterable(spacing) else [spacing] * d)
    picture.SetOrigin([origin] * d)
    if direction is not None:
        picture.SetDirection(np.ravel(direction).tolist())
    sitk.WriteImage(picture, str(path), useCompression=path.suffix in (".nrrd", ".mha"))


def sound(path: Path, shift: float = 0.0, size: tuple[int, ...] = SIZE) -> None:
    """A file that nothing is wrong with."""
    save(lump(size, shift).astype(np.int16), path)


def types(random: Random, path: Path) -> Path:
    """Every number type; colour, vectors, complex numbers, sequences."""
    path = path.with_name(path.name + random.choice((".nii.gz", ".nrrd", ".mha")))
    kind, form = (
        random.choice(KINDS),
        random.choice(("scalar", "scalar", "rgb", "rgba", "two", "many", "complex", "4d")),
    )
    array = np.clip(lump(), 0, np.iinfo(kind).max if kind[0] in "iu" else 1e9).astype(kind)
    if form == "complex":
        picture = sitk.Cast(sitk.GetImageFromArray(lump().astype(np.float32)), sitk.sitkFloat32)
        sitk.WriteImage(sitk.RealAndImaginaryToComplex(picture, picture), str(path))
    elif form == "4d":
        save(np.stack([array] * random.choice((1, 2, 3))), path)
    elif form == "scalar":
        save(array, path)
    else:
        count = {"rgb": 3, "rgba": 4, "two": 2, "many": 7}[form]
        save(np.stack([array // (n + 1) for n in range(count)], -1).astype(kind), path, vector=True)
    return path


def values(random: Random, path: Path) -> Path:
    """Numbers that are none, constant images, extreme ranges."""
    path = path.with_name(path.name + random.choice((".nii", ".nrrd", ".mha")))
    array = lump().astype(random.choice((np.float32, np.float64)))
    deed = random.choice(
        ("nan", "inf", "all nan", "constant", "zero", "huge", "tiny", "two values", "negative", "one voxel", "noise")
    )
    with np.errstate(over="ignore"):
        if deed in ("nan", "inf"):
            array[tuple(random.randrange(n) for n in array.shape)] = float(deed)
        array = {
            "all nan": array * np.nan, "constant": array * 0 + random.choice((-3.5, 7, 1e30)), "zero": array * 0,
            "huge": array * array.dtype.type(1e35), "tiny": array * array.dtype.type(1e-40),
            "two values": (array > 0) * 1.0,
            "negative": array - 2000, "one voxel": array * 0,
            "noise": np.random.default_rng(random.randrange(9)).normal(size=array.shape),
        }.get(deed, array).astype(array.dtype)  # fmt: skip
    if deed == "one voxel":
        array[7, 8, 9] = 1
    save(array, path)
    return path


def shapes(random: Random, path: Path) -> Path:
    """Sizes of one, lines, single slices, planes; spacings and places beyond reason; turned, mirrored, sheared axes."""
    path = path.with_name(path.name + random.choice((".nii", ".nrrd", ".mha")))
    size = random.choice(((1, 1, 1), (1, 1, 40), (24, 1, 1), (24, 20, 1), (1, 24, 20), (24, 1, 20), (24, 20, 2),
    (2, 2, 2),
                          (3, 24, 24), (24, 20), (40, 1), (300, 3, 3), (4, 4, 4), SIZE, SIZE, SIZE))  # fmt: skip
    d = len(size)
    spacing = [random.choice((2.0, 2.0, 2.0, 1e-9, 1e-4, 0.01, 50.0, 1e4, 1e9)) for _ in size]
    axes = random.choice((None, np.eye(d)[::-1], np.diag([-1.0] + [1.0] * (d - 1)), np.eye(d) + np.eye(d, k=1) * 0.5,
                          np.eye(d) * 1e-3, np.eye(d)[np.roll(range(d), 1)]))  # fmt: skip
    save(lump(size).astype(np.float32), path, False, spacing, random.choice((0.0, 0.0, -500.0, 1e6, 1e15)), axes)
    return path


def pictures(random: Random, path: Path) -> Path:
    """PNG and other pictures: grey, 16 bit, colour, opacity, palette; tiny; damaged."""
    path = path.with_name(path.name + random.choice((".png", ".png", ".png", ".tif", ".bmp", ".jpg")))
    size = random.choice(((40, 36), (40, 36), (40, 36), (1, 1), (3, 40), (64, 5)))
    array = lump(size) / 4
    form = random.choice(("grey", "16", "rgb", "rgba"))
    if form == "16" and path.suffix == ".png":
        sitk.WriteImage(sitk.GetImageFromArray((array * 250).astype(np.uint16)), str(path))
        return path
    count = {"rgb": 3, "rgba": 4}.get(form, 1)
    count = 3 if count == 4 and path.suffix in (".jpg", ".bmp") else count
    stack = np.stack([array / (n + 1) for n in range(count)], -1).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(stack if count > 1 else stack[..., 0], isVector=count > 1), str(path))
    if random.random() < 0.4:
        damage(random, path)
    return path


def damage(random: Random, path: Path) -> None:
    """Cut off, flipped bytes, a piece left out or put in."""
    raw = bytearray(path.read_bytes())
    deed = random.choice(("cut", "cut", "flip", "flip", "hole", "more"))
    if deed == "cut":
        raw = raw[: random.randrange(len(raw))]
    elif deed == "flip":
        for _ in range(random.choice((1, 3, 30))):
            raw[random.randrange(min(len(raw), random.choice((64, 400, len(raw)))))] ^= random.randrange(1, 256)
    elif deed == "hole":
        at = random.randrange(len(raw))
        del raw[at : at + random.randrange(1, 200)]
    else:
        at = random.randrange(len(raw))
        raw[at:at] = random.randbytes(random.randrange(1, 200))
    path.write_bytes(bytes(raw))


def damaged(random: Random, path: Path) -> Path:
    path = path.with_name(path.name + random.choice(SUFFIXES))
    sound(path)
    damage(random, path.with_suffix(".raw") if path.suffix == ".mhd" and random.random() < 0.5 else path)
    return path


def strange(random: Random, path: Path) -> Path:
    """No image: nothing, text, noise, zeros, a folder, links, a pipe, another format's name, odd names."""
    name = path.with_name(path.name + random.choice((*SUFFIXES, ".png", ".dcm", ".h5", "", ".txt", ".gz")))
    deed = random.choice(("empty", "text", "noise", "zeros", "folder", "dangling", "circle", "link", "pipe",
    "renamed", "absent",
                          "unicode", "long", "dots"))  # fmt: skip
    content = {"empty": b"", "text": b"This is no image.\n" * 9, "noise": random.randbytes(900), "zeros": bytes(2000)}
    if deed in content:
        name.write_bytes(content[deed])
    elif deed == "folder":
        name.mkdir()
        if random.random() < 0.5:
            (name / "a.dcm").write_bytes(random.randbytes(500))
    elif deed in ("dangling", "circle"):
        name.symlink_to(name if deed == "circle" else name.with_name("absent.nii"))
    elif deed == "pipe":
        os.mkfifo(name)
    elif deed == "link":
        sound(path.with_name("target.nrrd"))
        name = path.with_suffix(".nrrd")
        name.symlink_to("target.nrrd")
    elif deed == "renamed":
        sound(path.with_name("real" + (real := random.choice(SUFFIXES[:4]))))
        shutil.move(path.with_name("real" + real), name)
    elif deed == "unicode":
        name = path.with_name("Gehirn größer 脳 #%s ;&'.nii.gz")
        sound(name)
    elif deed == "long":
        name = path.with_name("n" * 300 + ".nii")
    elif deed == "dots":
        name = path.with_name("a.b.nii.c.nrrd")
        sound(name)
    return name


def header(random: Random, path: Path) -> Path:
    make = random.choice((headers.nifti, headers.nifti, headers.nrrd, headers.meta))
    suffixes = {headers.nifti: (".nii", ".nii.gz"), headers.nrrd: (".nrrd",), headers.meta: (".mha", ".mhd")}
    path = path.with_name(path.name + random.choice(suffixes[make]))
    make(random, path)
    return path
