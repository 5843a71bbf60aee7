"""Registration of nodes: what the panel, the Python console and headless scripts call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from .. import engine
from ..core import Cancelled, Image, InputError, Transform
from ..engine import Result
from ..io.picture import one_channel
from .frames import parent_matrix
from .nodes import show_as
from .outputs import REPORT_ATTRIBUTE, names_for, problem_with, remove_with_displays
from .place import in_node_space, largest_difference, resampled_node, start_of_node
from .transform import node_from_transform
from .volume import check_holds, image_from_node, mask_from_node, node_from_image, pixel_of


@dataclass(frozen=True)
class NodeResult:
    """What register_nodes put into the scene.

    transformNode: put on the moving volume in place of its present parent (or on anything that shares the moving
    volume's own space), it shows it on the fixed volume in the world. volumeNode: the moving volume resampled once on
    the fixed lattice, in the moving volume's number type. inverseNode: the same as transformNode for the fixed volume
    onto the moving one. translatedNode: the moving volume in the fixed one's modality, on the fixed lattice,
    in the fixed volume's number type.
    report: as engine.register gives it. result: the engine's own, in world space.
    """

    transformNode: object
    volumeNode: object | None
    inverseNode: object | None
    translatedNode: object | None
    report: dict
    result: Result


def register_nodes(
    fixedNode,
    movingNode,
    model: str | None = None,
    start: object = "moments",
    refine: int = 0,
    device: str = "auto",
    seed: int = 0,
    fixedMask=None,
    movingMask=None,
    outputTransform=None,
    outputVolume: object = True,
    outputInverse: object = False,
    outputTranslated: object = False,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    fixedChannel: str | int | None = None,
    movingChannel: str | int | None = None,
    interpolation: str = "auto",
) -> NodeResult:
    """Registers the moving volume node on the fixed one, as both lie in the world, and puts the result into the scene.

    start: none | centre | moments, a transform node (as if put on the moving volume), or a Transform in world LPS.
    fixedMask, movingMask: segmentation or label map (or any volume: above zero counts), on any lattice, under any
    parent. outputTransform, outputVolume, outputInverse, outputTranslated: a node to fill, True for a new one, False
    or None for none (outputTransform None: a new one). fixedChannel, movingChannel: what is registered of a vector
    volume (luminance, length, or a number from 0); the output volume has all channels. interpolation: of the output
    volume, linear or nearest; auto is nearest for a label map. The rest is as in engine.register.

    The inputs, their parents and their masks are never changed, and nothing is applied: the caller puts the transform
    on the moving volume, if wanted. All nodes are written after everything is computed; when something fails or is
    cancelled the scene is as it was. Raises InputError, MemoryShortage, Cancelled: sentences for the user.
    """
    task = prepare(
        fixedNode, movingNode, start, fixedMask, movingMask, outputTransform, outputVolume, outputInverse,
        outputTranslated, fixedChannel, movingChannel, interpolation,
    )  # fmt: skip
    result = engine.register(
        task.fixed, task.moving, model=model, start=task.start, refine=refine, device=device, seed=seed,
        fixed_mask=task.fixed_mask, moving_mask=task.moving_mask, progress=progress, cancelled=cancelled,
        translated=bool(outputTranslated), inverse=bool(outputInverse),
    )  # fmt: skip
    return deliver(task, result, cancelled)


@dataclass(frozen=True)
class Task:
    """What the engine is given (images in the world, LPS) and where its result goes (`outputs`: role to node, True for
    a new one, False or None for none). notes: what was chosen from the nodes, for the report. interpolation: of the
    output volume, "linear" or "nearest"."""

    fixedNode: object
    movingNode: object
    fixed: Image
    moving: Image
    fixed_mask: Image | None
    moving_mask: Image | None
    start: object
    outputs: dict
    notes: tuple[str, ...] = ()
    interpolation: str = "linear"


def prepare(
    fixedNode, movingNode, start, fixedMask, movingMask, outputTransform, outputVolume, outputInverse, outputTranslated,
    fixedChannel=None, movingChannel=None, interpolation="auto",
) -> Task:  # fmt: skip
    """Reads the nodes; see register_nodes. Changes nothing."""
    outputs = {"transform": outputTransform or True, "volume": outputVolume}
    outputs |= {"inverse": outputInverse, "translated": outputTranslated}
    _check_inputs(fixedNode, movingNode)
    if problem := problem_with(outputs, fixedNode, movingNode, (fixedMask, movingMask)):
        raise InputError(problem)
    check_holds(outputs["volume"], movingNode)
    fixed, more = _registered(fixedNode, fixedChannel)
    moving, notes = _registered(movingNode, movingChannel)
    notes = more + notes
    if interpolation not in ("auto", "linear", "nearest"):
        raise InputError(f"The interpolation '{interpolation}' is not known; choose auto, linear or nearest.")
    if interpolation == "auto":
        interpolation = "nearest" if movingNode.IsA("vtkMRMLLabelMapVolumeNode") else "linear"
        if interpolation == "nearest":
            name = movingNode.GetName()
            notes += (f"'{name}' is a label map: the output volume was resampled by the nearest neighbour.",)
    if hasattr(start, "GetTransformToParent"):
        start = start_of_node(start, movingNode, fixed.grid)
    masks = [None if mask is None else mask_from_node(mask) for mask in (fixedMask, movingMask)]
    return Task(fixedNode, movingNode, fixed, moving, *masks, start, outputs, notes, interpolation)


def _registered(node, channel: str | int | None) -> tuple[Image, tuple[str, ...]]:
    """The one channel of the node that is registered, in the world, and what to say about it."""
    image = image_from_node(node)
    image, note = one_channel(image, channel, f"'{node.GetName()}'", pixel_of(node).dtype == "uint8")
    return image, (note,) if note else ()


def deliver(task: Task, result: Result, cancelled: Callable[[], bool] | None = None, scene=None) -> NodeResult:
    """Puts the engine's result into `scene` (by default that of the fixed volume); when something fails or is cancelled
    the scene is as it was."""
    report = dict(result.report, warnings=list(result.report.get("warnings", [])), notes=list(task.notes))
    local = _local(result.transform, task.movingNode, task.fixed, report)
    back = None if result.inverse is None else _local(result.inverse, task.fixedNode, task.moving, report)
    warped, fill = result.warped, report["parameters"]["fill"]
    components = task.movingNode.GetImageData().GetNumberOfScalarComponents()
    # the engine read one channel only, or a volume that was resampled out of its bent space
    if task.outputs["volume"] and (task.interpolation == "nearest" or components > 1):
        warped = resampled_node(task.movingNode, task.fixed.grid, local, 0.0, task.interpolation)
    elif parent_matrix(task.movingNode) is None:
        warped = resampled_node(task.movingNode, task.fixed.grid, local, fill)
    if cancelled is not None and cancelled():
        raise Cancelled()
    return _deliver(task, local, back, warped, report, result, scene or task.fixedNode.GetScene())


def _local(transform: Transform, node, image: Image, report: dict) -> Transform:
    """`transform` into the node's own space; says so in the report where that could only be sampled."""
    local = in_node_space(transform, node, image.grid)
    if parent_matrix(node) is None:
        error = largest_difference(transform, local, node, image.grid)
        report["warnings"].append(
            f"'{node.GetName()}' lies under a transform that bends space; it was sampled into the output transform, "
            f"within {error:.2f} mm. Harden it first for an exact result."
        )
    return local


def _deliver(task: Task, local, back, warped, report, result, scene) -> NodeResult:
    fixedNode, movingNode, outputs = task.fixedNode, task.movingNode, task.outputs
    names = names_for(fixedNode, movingNode)
    here = scene is fixedNode.GetScene()  # else nodes there can refer to none of these
    like, references = (fixedNode, (fixedNode, movingNode)) if here else (None, (None, None))
    made = []

    def target(key: str):
        return None if outputs[key] is True else outputs[key]

    def kept(key: str, node):
        if outputs[key] is True:
            made.append(node)
        return node

    volume = inverse = translated = None
    try:
        if outputs["volume"]:
            volume = kept("volume", node_from_image(
                warped, scene, names["volume"], target("volume"), pixel_of(movingNode),
                movingNode.IsA("vtkMRMLLabelMapVolumeNode"), like=like,
            ))  # fmt: skip
            show_as(volume, movingNode)
        if outputs["translated"] and result.translated is not None:
            translated = kept("translated", node_from_image(
                result.translated, scene, names["translated"], target("translated"),
                pixel_of(fixedNode), like=like,
            ))  # fmt: skip
            show_as(translated, fixedNode)
        if back is not None:
            inverse = kept("inverse", node_from_transform(
                back, scene, names["inverse"], movingNode, fixedNode, target("inverse")
            ))  # fmt: skip
        transform = kept("transform", node_from_transform(
            local, scene, names["transform"], *references, target("transform")
        ))  # fmt: skip
        transform.SetAttribute(REPORT_ATTRIBUTE, json.dumps(report))
    except BaseException:
        for node in made:
            remove_with_displays(scene, node)
        raise
    return NodeResult(transform, volume, inverse, translated, report, result)


def _check_inputs(fixedNode, movingNode) -> None:
    for node, role in ((fixedNode, "fixed"), (movingNode, "moving")):
        if node is None:
            raise InputError(f"The {role} volume is missing; choose one.")
        if node.GetScene() is None:
            raise InputError(f"The {role} volume '{node.GetName()}' is in no scene; add it to one first.")
    if fixedNode is movingNode:
        raise InputError("The fixed and the moving volume are the same node; choose two volumes.")
