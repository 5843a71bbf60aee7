"""Transforms on disk, as ITK files that SimpleITK reads.

An ITK transform maps fixed points to moving points in LPS mm, as Transform does: nothing is flipped or inverted here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..core import Affine, Composite, DenseField, Grid, Image, InputError, Transform
from ..core.transform import split
from .atomic import replacing
from .chain import chain
from .hdf5 import hdf5
from .image import grid_of, read_sitk, sitk_from, suffix_of, write_sitk
from .quiet import quiet

TRANSFORM_FILES = (".h5", ".hdf5", ".tfm", ".txt", ".mat", ".xfm")
WRITTEN = (".h5", ".hdf5", ".tfm", ".txt")
FIELD_FILES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")
# Displacements are written as multiples of this (mm): a thousandth of a voxel, and files a sixth as large.
STEP_MM = 1.0 / 1024
# Knots of a B-spline are sampled this many times as densely: linear interpolation between the samples is then at most
# 1.2 % of a knot's displacement away from the cubic.
_SAMPLES_PER_KNOT = 8
_MOST_SAMPLES = 8_000_000


def read_transform(path: str | os.PathLike) -> Transform:
    """The transform in an ITK file (.h5, .tfm, .txt, .mat, .xfm) or the displacement field in an image file of vectors.

    Translation, rigid, similarity, scale, versor and affine become one exact Affine; a displacement field DenseField;
    chains of them Affine, DenseField or Composite, exact while one field at most is among them (several are sampled on
    a common lattice). A B-spline is sampled on a lattice eight times as dense as its knots.
    Raises InputError: missing, unreadable, not 2D or 3D, of a kind unknown here, not finite, not invertible.
    """
    path = Path(path)
    if suffix_of(path) in FIELD_FILES:
        return _field_of(sitk.DisplacementFieldTransform(_vector_image(path)), path)
    if not os.path.isfile(path):  # whatever else the path may be, a loop of links too
        raise InputError(f"The transform {path} does not exist; check its name and folder.")
    try:
        with quiet():
            read = sitk.ReadTransform(str(path))
    except (RuntimeError, UnicodeDecodeError) as error:  # ITK's words may quote the file's bytes
        raise InputError(
            f"The transform {path} cannot be read; give an ITK transform file ({', '.join(TRANSFORM_FILES)}) or a "
            "displacement field (.nrrd, .nii.gz). One that Slicer keeps as an inverse must be inverted there first."
        ) from error
    try:
        return from_sitk(read, path)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"The transform {path} cannot be used, it may be damaged or cut off: {error}") from error


def write_transform(transform: Transform, path: str | os.PathLike) -> None:
    """transform to .h5 or .tfm (any kind), or its field alone to .nrrd, .nii.gz, .mha (DenseField).

    SimpleITK reads back an AffineTransform, a DisplacementFieldTransform or, for Composite(dense, affine), a
    CompositeTransform of affine and field in this order: ITK applies the last one first, so that
    T(x) = affine(x + u(x)). Displacements are rounded to 1/1024 mm and kept in single precision, deflated in .h5; the
    same transform gives the same bytes. The file appears whole or not at all.
    Raises InputError for an unknown format, an affine part in a field file, or an unwritable place.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in FIELD_FILES:
        dense, affine = split(transform, transform.dimension)
        if dense is None or not _is_identity(affine):
            raise InputError(f"The output {path} holds a displacement field only, not an affine part; use .h5 instead.")
        write_sitk(sitk.Cast(_sitk_field(rounded(dense)), sitk.sitkVectorFloat32), path)
        return
    if suffix not in WRITTEN:
        raise InputError(
            f"The output {path} has no known transform format; name it with one of {', '.join(WRITTEN + FIELD_FILES)}."
        )
    with replacing(path) as temporary:
        if suffix in (".h5", ".hdf5"):
            temporary.write_bytes(_as_hdf5(_parts(transform)))
        else:
            temporary.write_text(_as_text(_parts(transform)), encoding="ascii")


def rounded(transform: Transform) -> Transform:
    """The transform as it is written: displacements as multiples of STEP_MM, so at most half of it away."""
    dense, affine = split(transform, transform.dimension)
    if dense is None:
        return transform
    field = dense.field.tensor.detach().cpu().float()
    exact = DenseField(Image(torch.round(field / STEP_MM) * STEP_MM, dense.field.grid))
    return Composite(exact, affine) if isinstance(transform, Composite) else exact


def _parts(transform: Transform) -> list[tuple[str, np.ndarray | None, np.ndarray | None]]:
    """(type, fixed parameters, parameters) of what an ITK transform file holds one after the other: a composite begins
    with its own name, and then has the affine first (ITK applies the last one first)."""
    d = transform.dimension
    kind = f"double_{d}_{d}"
    dense, affine = split(rounded(transform), d)
    numbers = torch.cat([affine.linear.flatten(), affine.translation]).numpy()
    linear = (f"AffineTransform_{kind}", np.zeros(d), numbers)
    if dense is None:
        return [linear]
    grid = dense.field.grid
    place = np.array([*grid.size, *grid.origin, *grid.spacing, *grid.direction], float)
    field = (f"DisplacementFieldTransform_{kind}", place, torch.movedim(dense.field.tensor, 0, -1).flatten().numpy())
    return [field] if isinstance(transform, DenseField) else [(f"CompositeTransform_{kind}", None, None), linear, field]


def _as_hdf5(parts: list) -> bytes:
    """As itk::HDF5TransformIO reads it."""
    group = {}
    for number, (kind, fixed, numbers) in enumerate(parts):
        group[str(number)] = {"TransformType": kind}
        if numbers is not None:
            group[str(number)] |= {"TransformFixedParameters": fixed, "TransformParameters": numbers}
    together = 3 if parts[-1][0].endswith("3_3") else 2
    return hdf5({"ITKVersion": "5.4", "TransformGroup": group}, together)


def _as_text(parts: list) -> str:
    """As itk::TxtTransformIO reads it. (ITK's writer says nothing when the disk is full.)"""
    lines = ["#Insight Transform File V1.0"]
    for number, (kind, fixed, numbers) in enumerate(parts):
        lines += [f"#Transform {number}", f"Transform: {kind}"]
        if numbers is not None:
            lines += [f"Parameters: {_words(numbers)}", f"FixedParameters: {_words(fixed)}"]
    return "\n".join(lines) + "\n"


def _words(numbers: np.ndarray) -> str:
    """The shortest decimals that are these numbers again."""
    return " ".join(repr(v).removesuffix(".0") for v in numbers.astype(np.float64).tolist())


def _is_identity(affine: Affine) -> bool:
    return torch.equal(affine.matrix, Affine.identity(affine.dimension).matrix)


def to_sitk(transform: Transform) -> sitk.Transform:
    """The SimpleITK transform with the same points; see write_transform."""
    dense, affine = split(transform, transform.dimension)
    if dense is None:
        return _sitk_affine(affine)
    field = sitk.DisplacementFieldTransform(_sitk_field(dense))
    if isinstance(transform, DenseField):
        return field
    both = sitk.CompositeTransform(transform.dimension)
    both.AddTransform(_sitk_affine(affine))
    both.AddTransform(field)
    return both


def from_sitk(transform: sitk.Transform, source: str | os.PathLike = "given") -> Transform:
    """The Transform with the same points as a SimpleITK transform; see read_transform. source: named in errors."""
    if transform.GetDimension() not in (2, 3):
        raise InputError(f"The transform {source} has {transform.GetDimension()} dimensions; give a 2D or a 3D one.")
    kind = transform.GetTransformEnum()
    if kind == sitk.sitkComposite:
        both = sitk.CompositeTransform(transform)
        parts = [both.GetNthTransform(n) for n in range(both.GetNumberOfTransforms())]
        if not parts:
            return Affine.identity(transform.GetDimension())
        return chain([from_sitk(part, source) for part in reversed(parts)])
    if transform.IsLinear():
        return _affine_of(transform)
    if kind == sitk.sitkDisplacementField:
        return _field_of(sitk.DisplacementFieldTransform(transform), source)
    if kind == sitk.sitkBSplineTransform:
        return _sampled(sitk.BSplineTransform(transform))
    raise InputError(f"The transform {source} is of the kind {transform.GetName()}, which is not known here; "
                     "convert it to a displacement field and give that.")


def _affine_of(transform: sitk.Transform) -> Affine:
    """Read off the images of the origin and the unit points: exact whatever the parametrisation and its centre."""
    d = transform.GetDimension()
    at_zero = np.array(transform.TransformPoint([0.0] * d))
    columns = [np.array(transform.TransformPoint(np.eye(d)[axis].tolist())) - at_zero for axis in range(d)]
    return Affine.from_parts(torch.tensor(np.stack(columns, 1)), torch.tensor(at_zero))


def _sitk_affine(affine: Affine) -> sitk.AffineTransform:
    out = sitk.AffineTransform(affine.dimension)
    out.SetMatrix(affine.linear.flatten().tolist())
    out.SetTranslation(affine.translation.tolist())
    return out


def _field_of(transform: sitk.DisplacementFieldTransform, source: str | os.PathLike) -> DenseField:
    picture = transform.GetDisplacementField()
    array = np.moveaxis(sitk.GetArrayFromImage(picture), -1, 0).astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"The displacement field {source} holds values that are not numbers; compute it again.")
    return DenseField(Image(torch.from_numpy(np.ascontiguousarray(array)), grid_of(picture)))


def _sitk_field(dense: DenseField) -> sitk.Image:
    return sitk_from(dense.field.tensor.detach().cpu().double().numpy(), dense.field.grid)


def _vector_image(path: Path) -> sitk.Image:
    picture = read_sitk(path)
    if picture.GetNumberOfComponentsPerPixel() != picture.GetDimension():
        found = picture.GetNumberOfComponentsPerPixel()
        raise InputError(
            f"The file {path} holds no displacement field: it has {found} component(s) a voxel where "
            f"{picture.GetDimension()} are needed; give a transform file or a field of displacements in mm."
        )
    return sitk.Cast(picture, sitk.sitkVectorFloat64)


def _sampled(spline: sitk.BSplineTransform) -> DenseField:
    d = spline.GetDimension()
    mesh = np.array(spline.GetTransformDomainMeshSize())
    axes = np.array(spline.GetTransformDomainDirection()).reshape(d, d)
    extent = np.array(spline.GetTransformDomainPhysicalDimensions())
    steps = mesh * _SAMPLES_PER_KNOT
    while np.prod(steps + 1) > _MOST_SAMPLES:
        steps = np.maximum(mesh, steps // 2)
        if (steps == mesh).all():
            break
    # ITK leaves points on the domain's far border where they are: the outermost samples lie just inside it.
    inset = extent * 1e-6
    spacing = (extent - 2 * inset) / steps
    origin = np.array(spline.GetTransformDomainOrigin()) + axes @ inset
    grid = Grid(tuple(steps + 1), tuple(spacing), tuple(origin), tuple(axes.ravel()))
    picture = sitk.TransformToDisplacementField(
        spline, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    array = np.moveaxis(sitk.GetArrayFromImage(picture), -1, 0).astype(np.float32)
    return DenseField(Image(torch.from_numpy(np.ascontiguousarray(array)), grid))
