"""Quality: how well a registration turned out, from what the user drew and from the field itself. NumPy and VTK."""

from __future__ import annotations

import json

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..mrml import nodes
from ..mrml.outputs import REPORT_ATTRIBUTE
from . import derived
from .words import PanelError
from .words import tr as _


def report_of(transform) -> dict:
    """The report that a run left on its transform node, or {}."""
    try:
        return json.loads(transform.GetAttribute(REPORT_ATTRIBUTE) or "{}") if transform is not None else {}
    except ValueError:
        return {}


def lines_of(report: dict) -> list[tuple[str, str]]:
    """(heading, words) of what a report says about the result."""
    if not report:
        return []
    found = []
    similarity = report.get("similarity", {})
    if {"before", "after"} <= similarity.keys():
        words = _("{before:.3f} before, {after:.3f} after (more is better; it proves nothing by itself)")
        found.append((_("Similarity (NMI)"), words.format(**similarity)))
    if "folds_percent" in report:
        share = report["folds_percent"]
        words = _("{n:.3f} % of the field turn tissue inside out")
        found.append((_("Folds"), words.format(n=share) if share else _("none")))
    if report.get("inverse_round_trip_mm"):
        words = _("{mean:.3f} mm on average, {max:.2f} mm at most").format(**report["inverse_round_trip_mm"])
    else:
        words = _("not computed; tick the inverse transform under Outputs")
    found.append((_("Inverse consistency"), words))
    if report.get("displacement_mm"):
        words = _("{mean:.1f} mm on average, {max:.1f} mm at most, beyond the first alignment")
        found.append((_("Movement"), words.format(**report["displacement_mm"])))
    model = report.get("model", {})
    if model.get("name"):
        seconds = report.get("seconds", {}).get("total")
        words, reason = model["name"], model.get("reason", "")
        if reason and reason != "chosen by the caller":  # the user knows
            words = _("{name} ({reason})").format(name=words, reason=reason)
        found.append((_("Model"), words + ("" if seconds is None else _(", {n:.0f} s").format(n=seconds))))
    found += [(_("Warning"), warning) for warning in report.get("warnings", [])]
    return found


def dice(fixed_segments, moving_segments, fixed, moving, transform) -> dict[str, tuple[float, float]]:
    """Segment name to (before, after), for the names that both segmentations have, on the fixed lattice.

    before: as the moving volume lies without the transform. Raises PanelError where no name is common.
    """
    theirs = _by_name(moving_segments)
    common = [name for name in _by_name(fixed_segments) if name in theirs]
    if not common:
        raise PanelError(
            _("Both segmentations have no segment of the same name; rename the segments that belong together.")
        )
    parent = moving_segments.GetParentTransformNode()
    original = moving.GetParentTransformNode() if parent is transform else parent
    if original is transform:
        original = None  # the transform is on the moving volume itself
    ways = [nodes.between(fixed.GetParentTransformNode(), original), _through(fixed, transform)]
    own = nodes.between(fixed.GetParentTransformNode(), fixed_segments.GetParentTransformNode())
    result = {}
    for name in common:
        target = _segment_on(fixed_segments, _by_name(fixed_segments)[name], own, fixed)
        found = [_overlap(target, _segment_on(moving_segments, theirs[name], way, fixed)) for way in ways]
        result[name] = (found[0], found[1])
    return result


def landmark_errors(fixed_points, moving_points, moving, transform) -> dict[str, np.ndarray]:
    """{"before", "after"}: (N,) mm between each fixed landmark's image and the moving landmark of the same number."""
    count = fixed_points.GetNumberOfControlPoints()
    if count == 0 or count != moving_points.GetNumberOfControlPoints():
        raise PanelError(
            _("The landmark lists have {a} and {b} points; they must have the same number, in the same order.").format(
                a=count, b=moving_points.GetNumberOfControlPoints()
            )
        )
    parent = moving_points.GetParentTransformNode()
    original = moving.GetParentTransformNode() if parent is transform else parent
    to_world = nodes.between(None if original is transform else original, None)
    forward = transform.GetTransformFromParent()
    before, after = [], []
    for index in range(count):
        x, y = [0.0] * 3, [0.0] * 3
        fixed_points.GetNthControlPointPositionWorld(index, x)
        moving_points.GetNthControlPointPosition(index, y)
        before.append(np.linalg.norm(np.subtract(to_world.TransformPoint(y), x)))
        after.append(np.linalg.norm(np.subtract(forward.TransformPoint(x), y)))
    return {"before": np.array(before), "after": np.array(after)}


def jacobian(transform) -> tuple[np.ndarray, np.ndarray]:
    """((K, J, I) float32 determinants on the field's own lattice, its index to RAS (4, 4)).

    Raises PanelError for a transform without a field, or one that is no plain result of this module.
    """
    parts = vtk.vtkCollection()
    slicer.vtkMRMLTransformNode.FlattenGeneralTransform(parts, transform.GetTransformFromParent())
    items = [parts.GetItemAsObject(i) for i in range(parts.GetNumberOfItems())]
    fields = [item for item in items if isinstance(item, slicer.vtkOrientedGridTransform)]
    if not fields:
        raise PanelError(_("This transform bends nothing: it changes volume by the same factor everywhere."))
    if len(fields) > 1 or fields[0].GetInverseFlag():
        raise PanelError(_("This transform is a chain of fields; choose the transform that a registration made."))
    after = np.eye(3)
    for item in items:
        if item is not fields[0]:
            after = nodes.matrix_array(item.GetMatrix())[:3, :3] @ after
    data = fields[0].GetDisplacementGrid()
    size = data.GetDimensions()
    vectors = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars()).reshape(*size[::-1], 3)
    axes = fields[0].GetGridDirectionMatrix()
    ras = np.eye(4) if axes is None else nodes.matrix_array(axes)
    ras = ras.copy()
    ras[:3, :3] *= np.array(data.GetSpacing())
    ras[:3, 3] = data.GetOrigin()
    by_world = np.linalg.inv(ras[:3, :3])  # index axis, RAS axis
    rows = []
    for component in range(3):
        values = np.asarray(vectors[..., component], dtype=np.float32)
        slopes = [np.gradient(values, axis=2 - a) if size[a] > 1 else np.zeros_like(values) for a in range(3)]
        slope = [sum(slopes[a] * np.float32(by_world[a, w]) for a in range(3)) for w in range(3)]
        slope[component] = slope[component] + 1
        rows.append(slope)
    (a, b, c), (d, e, f), (g, h, i) = rows  # written out: a determinant a voxel by LAPACK takes ten times as long
    found = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return (found * np.float32(np.linalg.det(after))).astype(np.float32), ras


def jacobian_volume(scene, transform, fixed):
    """A volume node of the determinants, coloured around 1; see `jacobian`."""
    array, ras = jacobian(transform)
    node = scene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(_("{name} volume change").format(name=transform.GetName()))
    )
    node.SetIJKToRASMatrix(nodes.vtk_matrix(ras))
    node.SetAndObserveImageData(nodes.image_data(array))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.5, 1.5)
    return node


def _by_name(node) -> dict[str, str]:
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
    return {segmentation.GetSegment(identity).GetName(): identity for identity in ids}


def _segment_on(node, identity: str, way, fixed) -> np.ndarray:
    """(K, J, I) bool on the fixed lattice."""
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(node.GetSegmentation())
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if not copy.CreateRepresentation(name):
        raise PanelError(_("The segmentation '{name}' has no voxels.").format(name=node.GetName()))
    segment = copy.GetSegment(identity)
    data = segment.GetRepresentation(name)
    matrix = vtk.vtkMatrix4x4()
    data.GetImageToWorldMatrix(matrix)
    size = fixed.GetImageData().GetDimensions()
    if min(data.GetDimensions()) < 1:
        return np.zeros(size[::-1], dtype=bool)
    return derived.resliced(data, nodes.matrix_array(matrix), way, fixed, nearest=True) == segment.GetLabelValue()


def _through(fixed, transform) -> vtk.vtkGeneralTransform:
    """From the space under the fixed volume's parent, through the world and the transform, to the moving one's own."""
    way = vtk.vtkGeneralTransform()
    way.PostMultiply()
    way.Concatenate(nodes.between(fixed.GetParentTransformNode(), None))
    way.Concatenate(transform.GetTransformFromParent())
    return way


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else float("nan")
