"""The demonstration: the bundled pair registered through Slicer's nodes, measured against its truth, with pictures."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from .core import Affine, Image, InputError, Transform, resample
from .engine import find
from .io import read_image, read_transform, write_json, write_transform

MODEL = "hierarchical-t1t2-brain-3d"
COLUMNS = ("axial", "coronal", "sagittal")


def demo(out: Path, model: str | None = None) -> int:
    """Registers the bundled T1 and T2 through a headless Slicer scene and writes everything to the folder `out`.

    Writes transform.h5, warped.nrrd, translated.nrrd, scene.mrb, report.json and pictures; prints what came out, in mm
    against the known truth. Returns the exit code. Raises InputError where the sample, the model or slicer is missing.
    """
    began = time.perf_counter()
    sample = sample_folder()
    find(model or MODEL)  # says what is missing before a folder is made
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {out} cannot be made ({error.strerror}); choose another by --out.") from error
    try:
        from .mrml.register import register_nodes
        from .mrml.scene import HeadlessScene, save_node
        from .mrml.transform import transform_from_node
    except ImportError as error:
        raise InputError(
            f"The demonstration needs Slicer's libraries ({error}); install them by 'make demo'."
        ) from error

    headless = HeadlessScene()
    fixed = headless.load_volume(sample / "fixed_t1.nii.gz", "T1")
    moving = headless.load_volume(sample / "moving_t2.nii.gz", "T2")
    for node in (fixed, moving):
        set_window(node)
    print(f"Registering T2 (moving) on T1 (fixed) with {model or MODEL} ...", flush=True)
    result = register_nodes(fixed, moving, model=model or MODEL, outputTranslated=True)
    truth = errors_in_mm(result, sample)
    report = {**result.report, "truth": truth}

    write_transform(transform_from_node(result.transformNode), out / "transform.h5")
    save_node(result.volumeNode, out / "warped.nrrd")
    if result.translatedNode is not None:
        save_node(result.translatedNode, out / "translated.nrrd")
    drawn_by = draw(headless, fixed, moving, result, sample, out)
    report["pictures"] = drawn_by
    write_json(report, out / "report.json")
    show_result(headless.scene, fixed, result.volumeNode)
    headless.save(out / "scene.mrb")
    print(summary(report, out, time.perf_counter() - began))
    return 0


def sample_folder() -> Path:
    """Resources/SampleData of the repository. Raises InputError where it is not beside the library."""
    folder = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"
    if not (folder / "truth.h5").is_file():
        raise InputError(f"The bundled pair is not here ({folder}); run the demonstration from the repository's clone.")
    return folder


def errors_in_mm(result, sample: Path) -> dict:
    """Distance to the true place inside the head: as scanned, after the start, after the registration (mm)."""
    truth = read_transform(sample / "truth.h5")
    head, _ = read_image(sample / "fixed_head_mask.nii.gz")
    index = torch.nonzero(head.tensor[0] > 0)[::7].flip(-1).double()  # every seventh voxel is enough for a mean
    x = index @ head.grid.matrix[:3, :3].T + head.grid.matrix[:3, 3]
    y = truth.points(x)

    def distances(transform: Transform) -> dict[str, float]:
        d = (transform.points(x) - y).norm(dim=1)
        return {"mean": round(float(d.mean()), 3), "percentile95": round(float(torch.quantile(d, 0.95)), 3)}

    start = Affine(torch.tensor(result.report["parameters"]["start"]["matrix"], dtype=torch.float64))
    return {
        "unit": "mm inside the head",
        "as_scanned": distances(Affine.identity(3)),
        "after_start": distances(start),
        "after_registration": distances(result.result.transform),
    }


def set_window(node) -> None:
    """Window and level for the brain: fat under the skin would leave everything else dark."""
    from .mrml.volume import image_in_node_space

    values = image_in_node_space(node).tensor.float().flatten()[::11]
    top = float(torch.quantile(values[values > 0.05 * values.max()], 0.97))
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevelMinMax(0.0, top)


def draw(headless, fixed, moving, result, sample: Path, out: Path) -> str:
    """Before and after as blend, checkerboard, warped grid; the translated image. Says by what they were drawn."""
    from .mrml.overlay import Overlays
    from .mrml.pictures import mosaic, write_png
    from .mrml.transform import node_from_transform

    scene = headless.scene
    bounds = [0.0] * 6
    fixed.GetRASBounds(bounds)
    overlays = Overlays(headless.application, [(bounds[2 * i] + bounds[2 * i + 1]) / 2 for i in range(3)])
    volume, translated = result.volumeNode, result.translatedNode
    write_png(mosaic([
        ("before: as scanned", overlays.blend(fixed, moving)),
        ("after: the registered T2", overlays.blend(fixed, volume)),
    ], "Blend of T1 and T2, half and half", COLUMNS), out / "blend.png")  # fmt: skip
    write_png(mosaic([
        ("before: as scanned", with_board(scene, overlays, fixed, moving, "before")),
        ("after: the registered T2", with_board(scene, overlays, fixed, volume, "after")),
    ], "Checkerboard of T1 and T2", COLUMNS), out / "checkerboard.png")  # fmt: skip
    true_node = node_from_transform(read_transform(sample / "truth.h5"), scene, "truth", fixed, moving)
    write_png(mosaic([
        ("found: on the registered T2", overlays.grid(volume, result.transformNode)),
        ("true: on T1", overlays.grid(fixed, true_node)),
    ], "The moving image's grid, as the transform bends it", COLUMNS), out / "grid.png")  # fmt: skip
    scene.RemoveNode(true_node)
    rows = [("T1, the fixed image", overlays.volume(fixed)), ("T2, registered", overlays.volume(volume))]
    if translated is not None:
        rows.insert(1, ("T2, registered and translated into T1 by the network", overlays.volume(translated)))
    write_png(mosaic(rows, "Registered and translated", COLUMNS), out / "translated.png")
    return overlays.drawn_by


def with_board(scene, overlays, fixed, other, name: str):
    """The pictures of a checkerboard of two volume nodes, whose volume is taken away again."""
    from .mrml.overlay import checkerboard
    from .mrml.volume import image_from_node, node_from_image

    base, second = image_from_node(fixed), image_from_node(other)
    second = second if second.grid.same_as(base.grid) else resample(second, base.grid)
    windows = [(n.GetDisplayNode().GetWindowLevelMin(), n.GetDisplayNode().GetWindowLevelMax()) for n in (fixed, other)]
    board: Image = checkerboard(base, second, windows)
    node = node_from_image(board, scene, f"checkerboard {name}", like=fixed)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    try:
        return overlays.volume(node)
    finally:
        scene.RemoveNode(node.GetDisplayNode())
        scene.RemoveNode(node)


def show_result(scene, fixed, volume) -> None:
    """Whoever opens the saved scene in Slicer sees both volumes blended."""
    for name in ("Red", "Green", "Yellow"):
        layers = scene.CreateNodeByClass("vtkMRMLSliceCompositeNode")
        layers.UnRegister(None)
        layers.SetSingletonTag(name)
        layers.SetName(name)
        layers.SetLayoutName(name)
        layers = scene.AddNode(layers)
        layers.SetBackgroundVolumeID(fixed.GetID())
        layers.SetForegroundVolumeID(volume.GetID())
        layers.SetForegroundOpacity(0.5)


def summary(report: dict, out: Path, seconds: float) -> str:
    """What came out, in a few honest lines."""
    truth, similarity = report["truth"], report["similarity"]
    lines = ["", "mm from the true place, inside the head     mean   95 %"]
    for key, words in (("as_scanned", "as scanned"), ("after_start", "after the start"),
                       ("after_registration", "after the registration")):  # fmt: skip
        lines.append(f"  {words:38s} {truth[key]['mean']:8.2f} {truth[key]['percentile95']:6.2f}")
    lines += [
        f"NMI (2 is the most) {similarity['before']:.4f} before, {similarity['after']:.4f} after",
        f"folds {report['folds_percent']:.3f} % of the field's voxels",
        f"registration {report['seconds']['total']:.1f} s on {report['machine']['device']}, everything {seconds:.0f} s",
        f"pictures drawn by {report['pictures']}",
        *(f"warning: {words}" for words in report["warnings"]),
        "",
        f"in {out}/:",
    ]
    for path in sorted(p for p in out.iterdir() if p.is_file() and not p.name.startswith(".")):
        lines.append(f"  {path.name:20s} {path.stat().st_size / 1e6:8.2f} MB")
    return "\n".join(lines)
