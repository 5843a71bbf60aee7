"""Cases: pairs of images with what is known about them, listed in a YAML file.

    name: acceptance
    cases:
      - name: newborn
        group: newborns, different subjects            # rows of one group are averaged
        fixed: test/albert/05/t2.nii.gz                # relative to the data folder
        moving: test/albert/20/t1.nii.gz
        labels: {classes: {fixed: test/albert/05/labels.nii.gz, moving: test/albert/20/labels.nii.gz}}
      - name: known
        fixed: test/brainweb/t2.nii.gz
        moving: test/brainweb/t1_warped.nii.gz
        warp: {of: moving, applied: true, field: test/brainweb/t1_warped_dy_mm.nii.gz, along: [0, -1, 0]}
        labels: {aal: test/brainweb/aal_labels.nii.gz} # one file: of the image before the warp, for both
        mask: {head: test/brainweb/t1.nii.gz}          # where the error is measured, on the unwarped fixed image
        spacing: 1.5                                   # both images, labels and mask on lattices so coarse (mm)
        pose: [[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]  # rigid, fixed to moving LPS mm: the moving
                                                       # image's header is moved by its inverse before anything else
        peers: [ants-syn]                              # only these other tools, of those asked for
        own: [[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]   # affine, fixed to moving LPS mm: how the pair
                                                       # that is called aligned lies, found by other means: errors are
                                                       # told from that too (evaluation.own_offset)
        recover: true                                  # each tool registers the pair as it was before the warp as well,
                                                       # and the known warp is told from what it found there
      - {name: pictures, fixed: "train/ct-mr/case34/*_mr.png", moving: "train/ct-mr/case34/*_ct.png"}  # see `stacked`

A list may take cases of shipped lists instead of, or before, its own:

    include:
      - {list: acceptance, cases: [newborn, known], peers: [ants-syn]}   # cases, peers: as they are there if not named

Entries of slices: see evaluation.planar_cases.

A warp W says that the pair was aligned before one of it was replaced by x -> image(W(x)). `of: fixed` makes W the true
transform, `of: moving` its inverse. W is a `field` (of displacements in LPS mm; one component `along` a direction is
enough), a `transform` file, or made here from a `seed` (evaluation.warps: shift_mm, rotation_deg, scale, peak_mm,
smooth_mm). `applied: true`: the file named as that image lies under the warp already.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
import yaml
from torch import Tensor

from ..core import Affine, DenseField, Grid, Image, InputError, Transform, compose, invert, resample
from ..engine.reduce import averaged
from ..io import read_image, read_transform
from .head import head_mask
from .warps import WarpRanges, known_warp

FOLDER = Path(__file__).parent / "cases"
KEYS = {"name", "group", "fixed", "moving", "labels", "warp", "mask", "landmarks", "modalities"}
KEYS |= {"spacing", "pose", "peers", "own", "recover"}
TRUTH_MM = 2.0  # of the lattice that a warp is inverted on, where the images are no coarser: warps are smooth
STACK_MM = 6.5  # between slices that are files of their own
SEEDED = {f.name for f in fields(WarpRanges)} | {"seed"}


@dataclass
class Case:
    """A pair in memory. labels: name of the set to (fixed's, moving's), each on its own image's lattice.

    truth: fixed LPS mm to moving LPS mm. mask: (*fixed shape) bool, where errors count. landmarks: (N, D) each, LPS mm.
    found: as truth, with what was found of the pair before the warp; None where it is taken to be aligned. before: the
    moving image as it was before the warp, where a tool's own answer for that pair is asked for.
    """

    name: str
    group: str
    fixed: Image
    moving: Image
    labels: dict[str, tuple[Image, Image]] = field(default_factory=dict)
    truth: Transform | None = None
    mask: Tensor | None = None
    landmarks: tuple[Tensor, Tensor] | None = None
    modalities: tuple[str, str] | None = None
    found: Transform | None = None
    before: Image | None = None


def data_folder(given: str | os.PathLike | None = None) -> Path:
    """The folder that the paths of cases start from: `given`, else $DEEPMULTIMODALREG_DATA, else ../shared/data beside
    the repository. Raises InputError where there is none."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    folder = Path(given or os.environ.get("DEEPMULTIMODALREG_DATA") or beside)
    if not folder.is_dir():
        raise InputError(f"The data folder {folder} does not exist; name it with --data or DEEPMULTIMODALREG_DATA.")
    return folder


def read_cases(source: str | os.PathLike) -> list[dict]:
    """The cases' descriptions in a YAML file, in one shipped by name (`acceptance`), or in several (`a,b`).

    Raises InputError."""
    sources = [source] if Path(source).is_file() else [name for name in str(source).split(",") if name]
    cases = [case for one in sources for case in _cases_of(one)]
    names = [case["name"] for case in cases]
    if len(set(names)) != len(names):
        raise InputError(f"The file {source} names two cases alike; give each a name of its own.")
    return cases


def _cases_of(source: str | os.PathLike) -> list[dict]:
    path = Path(source)
    shipped = FOLDER / f"{source}.yaml"
    if not path.is_file():
        if not shipped.is_file():
            known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
            raise InputError(f"There is no file of cases {source}; give a YAML file or one of: {known}.")
        path = shipped
    try:
        content = yaml.safe_load(path.read_text())
        included = [case for entry in content.get("include", []) for case in _included(entry)]
        cases = content["cases"] if "cases" in content or not included else []
        _ = [case["name"] for case in cases]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The file {path} does not list cases ({error}); it needs `cases:`, each with a `name:`."
        ) from None
    for case in cases:
        if "slices" in case:
            continue
        unknown = set(case) - KEYS
        missing = {"fixed", "moving"} - set(case)
        if unknown or missing:
            raise InputError(
                f"The case {case['name']} in {path} has "
                + (f"unknown entries {sorted(unknown)}" if unknown else f"no {' and no '.join(sorted(missing))}")
                + f"; a case may have {', '.join(sorted(KEYS))}."
            )
    return included + [one for case in cases for one in _each(case)]


def _each(case: dict) -> list[dict]:
    """The case itself, or what an entry of slices stands for."""
    if "slices" not in case:
        return [case]
    from .planar_cases import expanded

    return expanded(case)


def _included(entry: dict) -> list[dict]:
    """The cases that an entry of `include` takes of a shipped list."""
    there = {case["name"]: case for case in _cases_of(entry["list"])}
    wanted = entry.get("cases", list(there))
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise InputError(f"The list {entry['list']} has no case {', '.join(unknown)}; it has {', '.join(there)}.")
    peers = {"peers": entry["peers"]} if "peers" in entry else {}
    return [{**there[name], **peers} for name in wanted]


def load_case(described: dict, data: Path) -> Case:
    """Reads a case's images, applies its warp where that is still to be done, and works out the truth."""
    if "slices" in described:
        from .planar_cases import planar_case

        return planar_case(described, data)
    fixed = _image(data, described["fixed"])
    moving = _posed(_image(data, described["moving"]), described.get("pose"))
    warp, of = _warp(described.get("warp"), fixed, moving, data)
    labels = {name: _labels(entry, described.get("pose"), data) for name, entry in described.get("labels", {}).items()}
    mask = _mask(described.get("mask"), fixed, data)
    if "spacing" in described:
        wanted = float(described["spacing"])
        fixed, moving = (resample(averaged(image, g), g) for image in (fixed, moving) for g in [_coarse(image, wanted)])
        labels = {name: tuple(_nearest(i, _coarse(i, wanted)) for i in pair) for name, pair in labels.items()}
        mask = None if mask is None else _nearest(mask, fixed.grid)
    truth, before = None, _before(described, of, moving)
    if warp is not None:
        applied = described["warp"].get("applied", False)
        if of == "fixed":
            truth = warp
            fixed = fixed if applied else resample(fixed, fixed.grid, warp)
            mask = None if mask is None else _nearest(mask, mask.grid, warp)
        else:
            truth = inverse_of(warp, fixed.grid)
            moving = moving if applied else resample(moving, moving.grid, warp)
        side = 0 if of == "fixed" else 1
        labels = {name: _warped_side(pair, side, warp) for name, pair in labels.items()}
    return Case(
        described["name"],
        described.get("group", described["name"]),
        fixed,
        moving,
        labels,
        truth,
        None if mask is None else mask.tensor[0].bool(),
        _landmarks(described.get("landmarks"), data),
        tuple(described["modalities"]) if "modalities" in described else None,
        _found(described.get("own"), truth, of, fixed.grid),
        before,
    )


def _image(data: Path, path: str) -> Image:
    """The image of a file, or of all the slices that a path with a * names."""
    return stacked(data, path) if "*" in path else read_image(data / path)[0]


def stacked(data: Path, pattern: str) -> Image:
    """Axial slices in files of their own, in the order of their names, as a volume of 1 x 1 mm pixels STACK_MM apart.

    What the distances really are is not known of such pictures; they are those in name of test/ct-mr21."""
    slices = [read_image(path)[0].tensor[0].float() for path in sorted(data.glob(pattern))]
    if not slices or len({tuple(s.shape) for s in slices}) > 1:
        raise InputError(f"No slices of one size are at {data / pattern}; check the path and the data folder.")
    rows, columns = slices[0].shape
    grid = Grid((columns, rows, len(slices)), (1.0, 1.0, STACK_MM), (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    return Image(torch.stack(slices)[None], grid)


def inverse_of(warp: Transform, grid: Grid) -> Transform:
    """The inverse over `grid` (of the fixed image), on a lattice of TRUTH_MM or coarser that reaches beyond it.

    A warp is smooth: between the voxels of such a lattice its inverse is wrong by hundredths of a millimetre.
    """
    spacing = tuple(s if n == 1 else max(s, TRUTH_MM) for s, n in zip(grid.spacing, grid.size, strict=True))
    coarse = grid.respaced(spacing)
    ring = tuple(0 if n == 1 else 2 for n in coarse.size)
    around = coarse.cropped(
        tuple(-r for r in ring), tuple(n + 2 * r for n, r in zip(coarse.size, ring, strict=True))
    )
    return invert(warp, around)[0]


def _posed(image: Image, pose: list | None) -> Image:
    """The image with its lattice moved by the inverse of a rigid transform (rows; fixed to moving LPS mm): voxels
    untouched, it lies on the fixed one as that transform says."""
    if pose is None:
        return image
    affine = Affine(torch.tensor(pose, dtype=torch.float64))
    if not torch.allclose(affine.linear @ affine.linear.T, torch.eye(affine.dimension).double(), atol=1e-5):
        raise InputError("The pose of a case is not rigid; give a rotation and a shift.")
    matrix = affine.inverse().matrix @ image.grid.matrix
    axes = matrix[:-1, :-1] / torch.tensor(image.grid.spacing, dtype=torch.float64)
    origin, direction = tuple(matrix[:-1, -1].tolist()), tuple(axes.flatten().tolist())
    return Image(image.tensor, Grid(image.grid.size, image.grid.spacing, origin, direction))


def _labels(entry: dict | str, pose: list | None, data: Path) -> tuple[Image, Image]:
    """The fixed's and the moving's. One file for both lies on the fixed image and needs no pose."""
    if isinstance(entry, str):
        both = read_image(data / entry)[0]
        return both, both
    return read_image(data / entry["fixed"])[0], _posed(read_image(data / entry["moving"])[0], pose)


def _found(own: list | None, truth: Transform | None, of: str, grid: Grid) -> Transform | None:
    """The truth of a pair that lay under `own` before its warp; exact at the voxels of `grid`, the fixed image's."""
    if own is None:
        return None
    if truth is None:
        raise InputError("A case with an entry `own` needs a warp, from which its truth is known.")
    affine = Affine(torch.tensor(own, dtype=torch.float64))
    return compose(truth, affine, grid) if of == "moving" else compose(affine, truth, grid)


def _before(described: dict, of: str, moving: Image) -> Image | None:
    """The moving image without the warp that it is going to lie under, where `recover` asks for it."""
    if not described.get("recover", False):
        return None
    if of != "moving" or described["warp"].get("applied", False):
        raise InputError("A case with an entry `recover` needs a warp `of: moving` that is still to be applied.")
    return moving


def _coarse(image: Image, spacing: float) -> Grid:
    """The image's lattice with no axis finer than `spacing` mm."""
    return image.grid.respaced(
        tuple(s if n == 1 else max(s, spacing) for s, n in zip(image.grid.spacing, image.grid.size, strict=True))
    )


def _nearest(labels: Image, grid: Grid, transform: Transform | None = None) -> Image:
    return resample(labels, grid, transform, "nearest")


def _warped_side(pair: tuple[Image, Image], side: int, warp: Transform) -> tuple[Image, Image]:
    changed = _nearest(pair[side], pair[side].grid, warp)
    return (changed, pair[1]) if side == 0 else (pair[0], changed)


def _warp(entry: dict | None, fixed: Image, moving: Image, data: Path) -> tuple[Transform | None, str]:
    if entry is None:
        return None, ""
    of = entry.get("of")
    if of not in ("fixed", "moving"):
        raise InputError("A warp needs `of: fixed` or `of: moving`: which of the two images lies under it.")
    if "field" in entry and "along" in entry:
        amount = read_image(data / entry["field"])[0]
        along = torch.tensor(entry["along"], dtype=torch.float32).reshape(-1, *([1] * amount.grid.dimension))
        return DenseField(amount.with_tensor(along * amount.tensor.float())).closed(), of
    if "field" in entry or "transform" in entry:
        return read_transform(data / entry.get("field", entry.get("transform"))), of
    settings = {key: value for key, value in entry.items() if key not in ("of", "applied", "seed")}
    if "seed" not in entry or not set(settings) <= SEEDED:
        raise InputError(f"A warp needs a field, a transform, or a seed with {', '.join(sorted(SEEDED - {'seed'}))}.")
    return known_warp((fixed if of == "fixed" else moving).grid, WarpRanges(**settings), entry["seed"]), of


def _mask(entry: dict | str | None, fixed: Image, data: Path) -> Image | None:
    if entry is None:
        return None
    if isinstance(entry, str):
        mask = read_image(data / entry)[0]
        inside = mask.with_tensor((mask.tensor > 0).to(torch.uint8))
    else:
        image = _image(data, entry["head"])
        inside = Image(head_mask(image)[None].to(torch.uint8), image.grid)
    return _nearest(inside, fixed.grid)


def _landmarks(entry: dict | None, data: Path) -> tuple[Tensor, Tensor] | None:
    """Two files of lines `x,y,z` in LPS mm, a pair of points on the same line of both."""
    if entry is None:
        return None
    try:
        rows = [(data / entry[side]).read_text().split() for side in ("fixed", "moving")]
        points = [
            torch.tensor([[float(v) for v in row.split(",")] for row in side], dtype=torch.float64) for side in rows
        ]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"The landmarks cannot be read ({error}); give two files of lines x,y,z in LPS mm.") from None
    return points[0], points[1]
