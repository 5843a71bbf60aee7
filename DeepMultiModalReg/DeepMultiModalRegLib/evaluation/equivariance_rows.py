"""The rows of the equivariant paper's tables 2, 3 and 4: training, test, and the paper's figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..training.equivariant_poses import SQUARES
from ..training.train import read_config

LOSSES = {"equivariance": 1.0, "reference": 1.0, "size": 1.0, "anisotropy": 1.0}
GENTLE = {**LOSSES, "anisotropy": 0.1}  # its slope is steep where an answer is wrong: for a start that is not
SHIPPED = read_config("equivariant-t2-brain-2d")  # the dense head's training is the shipped model's
STAGES = SHIPPED["training"]["stages"]
WEIGHTS = {
    "warm": {"template": 1.0},  # on slices as they are found, roughly upright: which way is up
    "losses": LOSSES,
    "gentle": GENTLE,
    "gentle-mi": {**GENTLE, "information": 0.5},
    "mi": {"information": 1.0, "size": 1.0, "anisotropy": 0.1},
    "supervised": {"template": 1.0, "supervised": 1.0},
    "second": {"template": 1.0, "brought": 1.0},
}
WEIGHTS |= SHIPPED["weights"]
WEIGHTS["supervised-dense"] = {
    name: weight for name, weight in WEIGHTS["second-dense"].items() if name != "brought"
} | {"supervised": 1.0}
NETWORKS = {  # settings of methods/equivariant.py, but for the shape
    "numbers": {"widths": [8, 16, 32, 64, 128, 256]},
    "dense": {name: value for name, value in SHIPPED["settings"].items() if name != "shape"},
}
FAR = "D1-far"
FLIRT = ("2.58 (FLIRT)", "98 (FLIRT)")  # with mutual information
UNKNOWN = ("?", "?")


@dataclass(frozen=True)
class Row:
    """title: as printed. stages: of training/equivariant_run.py. begin: the row whose weights it begins with, trained
    before; with no stages of its own the row is that one, tested elsewhere. paper: (Mat_err, % wrong by over 45
    degrees) as far as they are known to us. peer: of evaluation/peers.py, or "affine" for the engine's own, in the
    place of a network. ranges, occlusion: of the test. head: of methods/equivariant.py. whole: whether the test's
    pictures are large enough for the whole head in every pose."""

    title: str
    stages: list[dict] = field(default_factory=list)
    begin: str | None = None
    paper: tuple[str, str] = UNKNOWN
    peer: str | None = None
    ranges: str = "D0"
    occlusion: str | None = None
    head: str = "numbers"
    whole: bool = False


def _one(weights: str, steps: int, pose: str, **more) -> list[dict]:
    return [{"network": weights, "steps": steps, "rate": 5e-4, "batch": 24, "pose": pose} | more]


def _next(weights: str, rate: float) -> list[dict]:
    return _one(weights, 500, "D0", rate=rate, batch=36, held=True)


ROWS = {
    "warm": Row("warm start alone", _one("warm", 1500, "D0")),
    "losses": Row("their losses", _next("gentle", 5e-5), "warm", ("0.45 ± 0.27", "0")),
    "losses-quick": Row("their losses, rate 1.5e-4", _next("gentle", 1.5e-4), "warm", ("0.45 ± 0.27", "0")),
    "losses-free": Row("their losses, rate 5e-4, R(I) free", _one("losses", 800, "D0"), "warm", ("0.45 ± 0.27", "0")),
    "losses-mi": Row("their losses and MI", _next("gentle-mi", 5e-5), "warm", ("0.39", "?")),
    "mi": Row("MI alone, from nothing", _one("mi", 800, "D0"), None, ("3.63", "100")),
    "supervised": Row("supervised", _one("supervised", 2300, "D0"), None, ("0.32", "?")),
    "looks": Row("two steps, any look", _one("second", 2400, "D0", looks=True), "warm"),
    "looks-more": Row("two steps, any look, longer", _one("second", 1300, "D0", looks=True, rate=4e-4), "looks"),
    "affine": Row("classical: our own affine", peer="affine", paper=FLIRT),
    "ants": Row("classical: antspyx affine, MI", peer="ants-affine", paper=FLIRT),
    "elastix": Row("classical: elastix affine, MI", peer="elastix-affine", paper=FLIRT),
    # the first two were trained when the shift of D1 counted in the slice's pixels
    "one-frobenius": Row("one step, Frobenius", _one("losses", 1200, FAR), None, ("12.08", "81"), None, "D1"),
    "one-grid": Row("one step, Grid", _one("losses", 1200, "D1", norm="grid"), None, UNKNOWN, None, "D1"),
    "two-frobenius": Row(
        "two steps, Frobenius", _one("second", 2000, "D1", grow=1200), "warm", ("1.88", "8.55"), None, "D1"
    ),
    "two-grid": Row(
        "two steps, Grid", _one("second", 2000, FAR, norm="grid", grow=1200), "warm", ("3.69", "1.32"), None, "D1"
    ),
    "two-grid-more": Row(
        "two steps, Grid, longer", _one("second", 2000, "D1", norm="grid"), "two-grid", ("3.69", "1.32"), None, "D1"
    ),
    "supervised-d1": Row(
        "supervised, Grid", _one("supervised", 2000, "D1", norm="grid", grow=1200), "supervised", UNKNOWN, None, "D1"
    ),
}
for _kind, _paper in (("small", UNKNOWN), ("large", ("3.79", "1.64"))):
    ROWS[f"two-grid-{_kind}"] = Row(
        f"two steps, Grid, {_kind} occlusions", _one("second", 800, "D1", norm="grid", occlusion=_kind),
        "two-grid-more", _paper, None, "D1", _kind,
    )  # fmt: skip

TOLD = STAGES[-1] | {"network": "supervised-dense", "steps": 1500, "rate": 3e-4}
TOLD.pop("real")  # where they lie is not known
ROWS |= {
    "dense-warm": Row("warm start alone, dense head", STAGES[:1], head="dense"),
    "dense-shipped": Row("two steps, Grid, any look, dense head (the shipped model)", STAGES, head="dense"),
    "dense-supervised": Row(
        "the same, told the true places from there", [TOLD], "dense-shipped", ("0.32", "?"), head="dense"
    ),
}


def _elsewhere(
    begin: str, title: str, paper=UNKNOWN, ranges: str = "D1", occlusion: str | None = None, whole: bool = False
) -> Row:
    """The same weights as another row's, tested elsewhere."""
    return Row(title, [], begin, paper, None, ranges, occlusion, ROWS[begin].head, whole)


def _shipped(test: str, paper=UNKNOWN, **more) -> Row:
    return _elsewhere("dense-shipped", f"the shipped model{test}", paper, **more)


ROWS |= {
    "one-frobenius-far": _elsewhere("one-frobenius", f"one step, Frobenius; {FAR}", ranges=FAR),
    "two-grid-far": _elsewhere("two-grid", f"two steps, Grid; {FAR}", ranges=FAR),
    "dense-d1": _shipped("", ("3.69", "1.32")),
    "dense-supervised-d1": _elsewhere("dense-supervised", "the same, told the true places from there"),
    "dense-d1-far": _shipped(f"; {FAR}", ranges=FAR),
    "dense-d1-whole": _shipped("; nothing cut off", ("3.69", "1.32"), whole=True),
    "dense-small": _shipped(", small occlusions", occlusion="small"),
    "dense-large": _shipped(", large occlusions", ("3.79", "1.64"), occlusion="large"),
    "dense-small-whole": _shipped(", small occlusions; nothing cut off", occlusion="small", whole=True),
    "dense-large-whole": _shipped(
        ", large occlusions; nothing cut off", ("3.79", "1.64"), occlusion="large", whole=True
    ),
}

# how large what covers a head may be
for _side in SQUARES:
    ROWS[f"dense-square-{_side}"] = _shipped(f", one square of {_side} px", occlusion=f"square-{_side}")

TABLES = {
    2: (
        "warm",
        "losses",
        "losses-quick",
        "losses-free",
        "losses-mi",
        "mi",
        "supervised",
        "looks",
        "looks-more",
        "dense-warm",
        "dense-shipped",
        "dense-supervised",
        "affine",
        "ants",
        "elastix",
    ),
    3: (
        "one-frobenius",
        "one-grid",
        "two-frobenius",
        "two-grid",
        "two-grid-more",
        "supervised-d1",
        "dense-d1",
        "dense-supervised-d1",
        "dense-d1-whole",
        "one-frobenius-far",
        "two-grid-far",
        "dense-d1-far",
    ),
    4: (
        "two-grid-small",
        "two-grid-large",
        "dense-small",
        "dense-large",
        *(f"dense-square-{side}" for side in SQUARES),
        "dense-small-whole",
        "dense-large-whole",
    ),
}
