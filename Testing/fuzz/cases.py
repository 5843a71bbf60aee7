"""Cases: what the command is given, drawn from a seed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import SimpleITK as sitk

from . import files
from .files import sound
from .headers import lump

MODEL = "tiny"


@dataclass
class FuzzCase:
    """words: the command's arguments. inputs: what must be unchanged afterwards. models: a folder of models of its
    own."""

    kind: str
    words: list[str]
    inputs: list[Path] = field(default_factory=list)
    models: Path | None = None


def draw(seed: int, number: int, folder: Path, models: Path) -> FuzzCase:
    """Case `number` of `seed`, its files made in `folder`. models: a folder with the sound model MODEL."""
    random = Random(f"{seed}/{number}")
    makers = {
        "header": 30, "damaged": 16, "types": 10, "values": 8, "shapes": 12, "pictures": 6, "strange": 12, "mask": 5,
        "start": 5, "dicom": 5, "options": 6, "model": 5,
    }  # fmt: skip
    kind = random.choices(list(makers), list(makers.values()))[0]
    out = folder / "out"
    out.mkdir()
    fixed, moving, more = folder / "fixed.nrrd", folder / "moving.nii.gz", []
    flat = kind == "pictures" and random.random() < 0.7
    fixed = folder / "fixed.png" if flat else fixed
    moving = folder / "moving.png" if flat else moving
    for path, shift in ((fixed, 0.0), (moving, 0.5)):
        if flat:
            sitk.WriteImage(sitk.GetImageFromArray((lump((40, 36), shift) / 4).astype(np.uint8)), str(path))
        else:
            sound(path, shift)
    case = FuzzCase(kind, [])
    if kind in ("mask", "start", "dicom", "options", "model"):
        fixed, moving, more, case.models = globals()[f"_{kind}"](random, folder, fixed, moving, out, models)
    else:
        made = getattr(files, kind)(random, folder / "odd")
        if random.random() < 0.5:
            fixed = made
        else:
            moving = made
    outputs = ["--output-transform", out / random.choice(("t.h5", "t.tfm"))]
    optional = {
        "--output-volume": ["w.nrrd", "w.nii.gz", "w.mha", "w.mhd"] + ["w.png"] * flat, "--report": ["r.json"],
        "--output-inverse": ["i.h5"],
    }  # fmt: skip
    for option, names in optional.items():
        if random.random() < (0.2 if option == "--output-inverse" else 0.7):
            outputs += [option, out / random.choice(names)]
    if "--output-transform" in more:
        outputs = []
    words = ["register", "--fixed", fixed, "--moving", moving, *([] if flat else ["--model", MODEL]), *outputs, *more]
    case.words = [str(word) for word in words]
    case.inputs = [path for path in (fixed, moving) if os.path.isfile(path)]
    return case


def _mask(random: Random, folder: Path, fixed: Path, moving: Path, out: Path, models: Path):
    option = random.choice(("--fixed-mask", "--moving-mask", "--labels"))
    if random.random() < 0.5:
        array = {"empty": lump() * 0, "one": lump() * 0, "all": lump() * 0 + 1, "flat": lump((18, 16)),
        "sound": lump()}
        form = random.choice(list(array))
        array = (array[form] > 0).astype(np.uint8)
        if form == "one":
            array[7, 8, 9] = 1
        path = folder / "mask.nrrd"
        files.save(array, path, origin=random.choice((0.0, 0.0, 5e3)))
    else:
        path = getattr(files, random.choice(("header", "damaged", "types", "strange")))(random, folder / "mask")
    more = [option, path] + (["--output-labels", out / "l.nrrd"] if option == "--labels" else [])
    return fixed, moving, more, None


def _start(random: Random, folder: Path, fixed: Path, moving: Path, out: Path, models: Path):
    path = folder / random.choice(("s.h5", "s.tfm", "s.txt", "s.mat", "s.nrrd", "s.nii.gz"))
    numbers = random.choice(
        ([1, 0, 0, 0, 1, 0, 0, 0, 1], [0.0] * 9, [float("nan")] * 9, [1e30] + [0] * 8, [1, 1, 0] * 3)
    )
    if path.suffix in (".h5", ".tfm", ".txt", ".mat"):
        d = random.choice((2, 3, 3, 3))
        affine = sitk.AffineTransform(d)
        affine.SetParameters(
            ([1, 0, 0, 1] if d == 2 else list(map(float, numbers))) + [random.choice((0.0, 3.0, 1e9))] * d
        )
        sitk.WriteTransform(affine, str(path))
    else:
        count = random.choice((1, 2, 3, 3, 3, 4))
        field = np.random.default_rng(1).normal(size=(6, 7, 8, count)).astype(np.float32)
        if random.random() < 0.2:
            field[0, 0, 0, 0] = np.nan
        files.save(field if count > 1 else field[..., 0], path, vector=count > 1, spacing=6.0)
    if random.random() < 0.5:
        files.damage(random, path)
    return fixed, moving, ["--start", path], None


def _dicom(random: Random, folder: Path, fixed: Path, moving: Path, out: Path, models: Path):
    series = folder / "series"
    series.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    array = lump().astype(np.int16)
    deed = random.choice(("sound", "two", "missing", "damaged", "junk", "one", "sizes"))
    for k, plane in enumerate(array if deed != "one" else array[7:8]):
        if deed == "missing" and k in (5, 6):
            continue
        picture = sitk.GetImageFromArray((plane[:-2] if deed == "sizes" and k == 3 else plane)[None])
        uid = "1.2.826.2" if deed == "two" and k % 2 else "1.2.826.1"
        tags = {"0008|0060": "MR", "0020|000e": uid, "0008|0018": f"{uid}.{k + 1}", "0020|0013": str(k),
                "0020|0032": f"0\\0\\{2.0 * k}", "0020|0037": "1\\0\\0\\0\\1\\0"}  # fmt: skip
        for tag, value in tags.items():
            picture.SetMetaData(tag, value)
        picture.SetSpacing((2.0, 2.0, 2.0))
        writer.SetFileName(str(series / f"{k:02d}.dcm"))
        writer.Execute(picture)
    if deed == "damaged":
        for path in random.sample(sorted(series.iterdir()), 3):
            files.damage(random, path)
    elif deed == "junk":
        (series / "notes.txt").write_text("no image")
        (series / "x.dcm").write_bytes(random.randbytes(3000))
    path = random.choice(sorted(series.iterdir())) if random.random() < 0.2 else series
    return (path, moving, [], None) if random.random() < 0.5 else (fixed, path, [], None)


def _options(random: Random, folder: Path, fixed: Path, moving: Path, out: Path, models: Path):
    (out.parent / "taken").mkdir()
    more = random.choice((
        ["--fill", "nan"], ["--fill", "1e400"], ["--fill", "1e300"], ["--seed", "-1"], ["--seed", str(2**70)],
        ["--seed", "1.5"],
        ["--refine", "-1"], ["--refine", "x"], ["--refine-by", "luck", "--refine", "1"], ["--device", "cuda:99"],
        ["--device", ""],
        ["--model", ""], ["--model", "../tiny"], ["--model", "tiny\0"], ["--start", ""], ["--start", "."],
        ["--moving-frame", "7"],
        ["--fixed-channel", "2"], ["--moving-channel", "luminance"], ["--interpolation", "cubic"],
        ["--interpolation", "nearest"],
        ["--output-transform", out.parent / "fixed.nrrd"], ["--output-transform", out / "t.xyz"],
        ["--output-transform", moving],
        ["--output-transform", out / "no" / "t.h5"], ["--output-transform", out.parent / "taken"],
        ["--output-transform", ""],
        ["--output-transform", out / ("n" * 300 + ".h5")], ["--output-transform", out / "t.h5", "--report",
        out / "t.h5"],
        ["--output-transform", "/dev/null"], ["--output-transform", out / "t.h5", "--output-volume", out / "w.png"],
        ["--output-transform", out / "t.h5", "--output-volume", out.parent / "fixed.nrrd"], ["--fixed"], ["register"],
        ["--output-transform", out / "größe 脳.h5"], ["--output-translated", out / "x.mha"],
    ))  # fmt: skip
    return fixed, moving, more, None


def _model(random: Random, folder: Path, fixed: Path, moving: Path, out: Path, models: Path):
    own = folder / "models"
    shutil.copytree(models, own)
    text, weights = own / MODEL / "model.yaml", own / MODEL / "weights.pt"
    deed = random.choice(
        ("weights", "weights", "tag", "bomb", "deep", "types", "damaged", "empty", "big", "outside", "numbers")
    )
    said = text.read_text(encoding="utf-8")
    if deed == "weights":
        files.damage(random, weights)
    elif deed == "damaged":
        files.damage(random, text)
    elif deed == "outside":
        text.write_text(said.replace("weights.pt", "../../fixed.nrrd"), encoding="utf-8")
    elif deed == "numbers":
        text.write_text(
            said.replace("spacing: 4.0", f"spacing: {random.choice(('.nan', '.inf', '-1', '0', '1e-9', 'x'))}")
        )
    else:
        content = {
            "tag": "!!python/object/apply:os.system ['touch " + str(out / "owned") + "']\n",
            "bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
                f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
            "deep": "[" * 5000 + "]" * 5000, "types": json.dumps(random.choice(([], 3, "x", None,
            {"name": ["tiny"]}))),
            "empty": "", "big": "x: " + "y" * 400_000,
        }[deed]  # fmt: skip
        text.write_text(content, encoding="utf-8")
    return fixed, moving, [], own
