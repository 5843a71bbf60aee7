"""Sequences: every frame of a moving sequence registered on one fixed volume, into a sequence of transforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import slicer

from .. import engine
from ..core import Cancelled, InputError
from .register import deliver, prepare

_SETTINGS = (
    "model", "start", "refine", "device", "seed", "fixedMask", "fixedChannel", "movingChannel", "interpolation",
)  # fmt: skip


@dataclass(frozen=True)
class SequenceResult:
    """transforms: a vtkMRMLSequenceNode of transforms from parent, one for each frame, at the frames' index values: put
    on the frame in place of its present parent, each shows it on the fixed volume. volumes: the frames resampled on the
    fixed lattice, or None. reports: one a frame, as engine.register gives it."""

    transforms: object
    volumes: object | None
    reports: list[dict]


def register_sequence(
    fixedNode,
    sequenceNode,
    outputTransforms=None,
    outputVolumes: object = True,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    **settings,
) -> SequenceResult:
    """Registers each volume of a vtkMRMLSequenceNode on the fixed volume node, as they lie in the world: under the
    parent of the sequence's proxy node, where a browser shows it.

    outputTransforms, outputVolumes: vtkMRMLSequenceNodes to fill, True (or None for the transforms) for new ones, False
    for none. settings: model, start, refine, device, seed, fixedMask, fixedChannel, movingChannel, interpolation, as in
    register_nodes. No input is changed; the sequences are filled after everything is computed, and when something
    fails or is cancelled the scene is as it was. Raises InputError, MemoryShortage, Cancelled.
    """
    if unknown := set(settings) - set(_SETTINGS):
        raise InputError(f"A sequence is registered without {', '.join(sorted(unknown))}; leave that out.")
    frames = _frames(fixedNode, sequenceNode, (outputTransforms, outputVolumes))
    scene, parent = fixedNode.GetScene(), _parent_id(sequenceNode)
    scratch, found, reports = slicer.vtkMRMLScene(), [], []
    for number, (value, frame) in enumerate(frames):
        moving = _placed_copy(frame, scene, parent, f"{sequenceNode.GetName()} {value}")
        try:
            made = _registered(
                fixedNode, moving, scratch, bool(outputVolumes), settings,
                _share(progress, number, len(frames)), cancelled,
            )  # fmt: skip
        finally:
            scene.RemoveNode(moving)
        found.append((value, made.transformNode, made.volumeNode))
        reports.append(made.report)
    if cancelled is not None and cancelled():
        raise Cancelled()
    name, fixed = sequenceNode.GetName(), fixedNode.GetName()
    transforms = _sequence(scene, outputTransforms, f"{name} to {fixed}", sequenceNode)
    volumes = _sequence(scene, outputVolumes, f"{name} on {fixed}", sequenceNode) if outputVolumes else None
    for value, transform, volume in found:
        transforms.SetDataNodeAtValue(transform, value)
        if volumes is not None:
            volumes.SetDataNodeAtValue(volume, value)
    return SequenceResult(transforms, volumes, reports)


def _registered(fixedNode, moving, scratch, wantVolume: bool, settings: dict, progress, cancelled):
    """One frame; its nodes are made in the scene `scratch`."""
    task = prepare(
        fixedNode, moving, settings.get("start", "moments"), settings.get("fixedMask"), None, True, wantVolume, False,
        False, settings.get("fixedChannel"), settings.get("movingChannel"), settings.get("interpolation", "auto"),
    )  # fmt: skip
    result = engine.register(
        task.fixed, task.moving, model=settings.get("model"), start=task.start, refine=settings.get("refine", 0),
        device=settings.get("device", "auto"), seed=settings.get("seed", 0), fixed_mask=task.fixed_mask,
        progress=progress, cancelled=cancelled,
    )  # fmt: skip
    return deliver(task, result, cancelled, scratch)


def _frames(fixedNode, sequenceNode, outputs) -> list[tuple[str, object]]:
    """(index value, volume node) of each frame. Raises InputError where there are none."""
    if sequenceNode is None or not sequenceNode.IsA("vtkMRMLSequenceNode"):
        raise InputError("The moving sequence is missing; choose a sequence of volumes.")
    if fixedNode is None or fixedNode.GetScene() is None:
        raise InputError("The fixed volume is missing; choose one.")
    if any(output is sequenceNode for output in outputs):
        raise InputError("The moving sequence cannot be an output; choose or create another sequence.")
    if outputs[0] is not None and outputs[0] is outputs[1] and outputs[0] is not True:
        raise InputError("One sequence was chosen for two outputs; choose different ones.")
    count = sequenceNode.GetNumberOfDataNodes()
    frames = [(sequenceNode.GetNthIndexValue(n), sequenceNode.GetNthDataNode(n)) for n in range(count)]
    if not frames or not all(node is not None and node.IsA("vtkMRMLVolumeNode") for _, node in frames):
        raise InputError(f"The sequence '{sequenceNode.GetName()}' holds no volumes; choose a sequence of volumes.")
    return frames


def _parent_id(sequenceNode) -> str | None:
    """The transform that the frames lie under where they are shown."""
    scene = sequenceNode.GetScene()
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") if scene is not None else 0):
        proxy = scene.GetNthNodeByClass(n, "vtkMRMLSequenceBrowserNode").GetProxyNode(sequenceNode)
        if proxy is not None:
            return proxy.GetTransformNodeID()
    return None


def _placed_copy(frame, scene, parent: str | None, name: str):
    """A hidden copy of the frame in the scene, under the parent; the voxels are shared."""
    node = scene.CreateNodeByClass(frame.GetClassName())
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetName(name)
    scene.AddNode(node)
    node.CopyOrientation(frame)
    node.SetAndObserveImageData(frame.GetImageData())
    node.SetAndObserveTransformNodeID(parent)
    return node


def _sequence(scene, output, name: str, like):
    """The sequence node to fill, empty, with the index of `like`."""
    node = output
    if output is True or output is None:
        node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    node.RemoveAllDataNodes()
    node.SetIndexName(like.GetIndexName())
    node.SetIndexUnit(like.GetIndexUnit())
    node.SetIndexType(like.GetIndexType())
    node.SetNumericIndexValueTolerance(like.GetNumericIndexValueTolerance())
    return node


def _share(progress, number: int, count: int):
    if progress is None:
        return None
    return lambda fraction, step: progress((number + fraction) / count, f"frame {number + 1} of {count}: {step}")
