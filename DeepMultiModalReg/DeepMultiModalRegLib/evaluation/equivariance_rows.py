"""The rows of the equivariant paper's tables 2, 3 and 4: training, test, and the paper's figures."""

from __future__ import annotations

from dataclasses import dataclass, field

LOSSES = {"equivariance": 1.0, "reference": 1.0, "size": 1.0, "anisotropy": 1.0}
GENTLE = {**LOSSES, "anisotropy": 0.1}  # its slope is steep where an answer is wrong: for a start that is not
PLACES = {"places": 1.0, "sureness": 0.1, "head": 0.1, "upright": 0.2}
WEIGHTS = {
    "warm": {"template": 1.0},  # on slices as they are found, roughly upright: which way is up
    "losses": LOSSES,
    "gentle": GENTLE,
    "gentle-mi": {**GENTLE, "information": 0.5},
    "mi": {"information": 1.0, "size": 1.0, "anisotropy": 0.1},
    "supervised": {"template": 1.0, "supervised": 1.0},
    "second": {"template": 1.0, "brought": 1.0},
    # of the dense head: the same equations, asked of every block of pixels as well
    "warm-dense": PLACES,
    "losses-dense": {**PLACES, **{name: 0.1 * weight for name, weight in GENTLE.items()}},
    "supervised-dense": {**PLACES, "template": 0.1, "supervised": 1.0},
    "second-dense": {**PLACES, "template": 0.1, "brought": 1.0},
    "wide-dense": {**PLACES, "template": 0.02, "upright": 0.5, "brought": 1.0},  # steep where little of a head is seen
}
NETWORKS = {  # settings of methods/equivariant.py, but for the shape
    "numbers": {"widths": [8, 16, 32, 64, 128, 256]},
    "dense": {"widths": [32, 64, 128], "head": "dense"},
    "canonical": {"widths": [32, 64, 128], "head": "dense", "canonical": True},
}
FAR = "D1-far"
FLIRT = ("2.58 (FLIRT)", "98 (FLIRT)")  # with mutual information
UNKNOWN = ("?", "?")


@dataclass(frozen=True)
class Row:
    """title: as printed. stages: of training/equivariant_run.py. begin: the row whose weights it begins with, trained
    before; with no stages of its own the row is that one, tested elsewhere. paper: (Mat_err, % wrong by over 45
    degrees) as far as they are known to us. peer: of evaluation/peers.py, or "affine" for the engine's own, in the
    place of a network. ranges, occlusion: of the test. head: of methods/equivariant.py."""

    title: str
    stages: list[dict] = field(default_factory=list)
    begin: str | None = None
    paper: tuple[str, str] = UNKNOWN
    peer: str | None = None
    ranges: str = "D0"
    occlusion: str | None = None
    head: str = "numbers"


def _one(weights: str, steps: int, pose: str, **more) -> list[dict]:
    return [{"network": weights, "steps": steps, "rate": 5e-4, "batch": 24, "pose": pose} | more]


def _dense(title: str, weights: str, steps: int, pose: str, begin: str | None = None, paper=UNKNOWN, **more) -> Row:
    stages = _one(weights, steps, pose, **{"rate": 1e-3} | more)
    return Row(f"{title}, dense head", stages, begin, paper, None, pose, None, "dense")


def _wide(title: str, steps: int, begin: str, paper=UNKNOWN, **more) -> Row:
    """The second step on D1 with canonical views. occlusion: of the training and the test."""
    stages = _one("wide-dense", steps, "D1", **{"rate": 1e-3, "batch": 12, "mirrored": True} | more)
    return Row(f"{title}, dense head", stages, begin, paper, None, "D1", more.get("occlusion"), "canonical")


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

ROWS |= {
    "dense-warm": _dense("warm start alone", "warm-dense", 1000, "D0"),
    "dense-losses": _dense(
        "their losses", "losses-dense", 500, "D0", "dense-warm", ("0.45 ± 0.27", "0"), batch=36, held=True
    ),
    "dense-supervised": _dense("supervised", "supervised-dense", 2000, "D0", None, ("0.32", "?")),
    "dense-second": _dense("two steps", "second-dense", 1500, "D0", "dense-warm"),
    "dense-shipped": _dense("the shipped model: both steps, any look", "second-dense", 2500, "D0", looks=True),
    "dense-mirrored": _dense(
        "two steps, any look, mirrored too", "second-dense", 1000, "D0", "dense-shipped", rate=5e-4,
        looks=True, mirrored=True,
    ),
    "dense-frobenius": _wide("two steps, Frobenius", 2000, "dense-shipped", ("1.88", "8.55"), grow=500),
    "dense-grid": _wide("two steps, Grid", 6000, "dense-shipped", ("3.69", "1.32"), norm="grid", grow=500),
    "dense-small": _wide("two steps, Grid, small occlusions", 400, "dense-grid", norm="grid", occlusion="small"),
    "dense-large": _wide(
        "two steps, Grid, large occlusions", 400, "dense-grid", ("3.79", "1.64"), norm="grid", occlusion="large"
    ),
}  # fmt: skip
for _name in ("one-frobenius", "two-grid", "dense-grid"):  # the same weights, tested in other poses
    _head, _title = ROWS[_name].head, ROWS[_name].title
    ROWS[f"{_name}-far"] = Row(f"{_title}; {FAR}", [], _name, ranges=FAR, head=_head)
for _kind in ("small", "large"):
    ROWS[f"dense-grid-{_kind}"] = Row(
        f"two steps, Grid, dense head; {_kind} occlusions in the test alone", [], "dense-grid", ranges="D1",
        occlusion=_kind, head="canonical",
    )  # fmt: skip
ROWS["dense-shipped-d1"] = Row("the shipped model of table 2", [], "dense-shipped", ranges="D1", head="dense")
# in one run with its warm start, as training/configs/equivariant-t2-brain-2d.yaml has it
ROWS["dense-shipped"].stages.insert(0, ROWS["dense-warm"].stages[0])

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
        "dense-losses",
        "dense-second",
        "dense-shipped",
        "dense-mirrored",
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
        "dense-frobenius",
        "dense-grid",
        "dense-shipped-d1",
        "one-frobenius-far",
        "two-grid-far",
        "dense-grid-far",
    ),
    4: ("two-grid-small", "two-grid-large", "dense-grid-small", "dense-grid-large", "dense-small", "dense-large"),
}
