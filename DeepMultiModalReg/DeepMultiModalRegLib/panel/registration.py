"""Registration: one run from nodes to nodes through a child process, in slices of a few milliseconds.

A window calls `advance()` from a timer until `finished`; a script calls `wait()`. The scene is written once, at the
end, when everything is there; a run that fails or is cancelled leaves it as it was.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..mrml import nodes
from ..mrml.outputs import KINDS, REPORT_ATTRIBUTE, names_for, problem_with, remove_with_displays
from . import inputs
from .job import Job
from .process import GRACE_SECONDS, Process, Remaining, sentence_for
from .steps import in_words
from .words import PanelError
from .words import tr as _


@dataclass
class Settings:
    """What a run is asked for. Masks, start and outputs are nodes.

    model: a name of the catalogue, affine, rigid, or None. start: as engine.register, or a transform node (as if put on
    the moving volume). outputs: True for a new node, a node to fill, False for none. command: replaces the child.
    """

    model: str | None = None
    start: object = "moments"
    refine: int = 0
    device: str = "auto"
    seed: int = 0
    fixedMask: object = None
    movingMask: object = None
    outputTransform: object = True
    outputVolume: object = True
    outputInverse: object = False
    outputTranslated: object = False
    keepFiles: bool = False
    command: list[str] | None = None

    def outputs(self) -> dict:
        return {
            "transform": self.outputTransform or True, "volume": self.outputVolume or False,
            "inverse": self.outputInverse or False, "translated": self.outputTranslated or False,
        }  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The nodes that a run wrote (None where not asked for, or where the model renders none), and its report."""

    transformNode: object
    volumeNode: object | None
    inverseNode: object | None
    translatedNode: object | None
    report: dict


class Registration:
    """fraction (0 to 1), step, finished, outcome, error (a PanelError, also when cancelled), cancelled, log."""

    def __init__(self, fixed, moving, settings: Settings) -> None:
        """Raises PanelError for outputs that cannot be. Nothing is written before the first `advance`."""
        if problem := problem_with(settings.outputs(), fixed, moving, (settings.fixedMask, settings.movingMask)):
            raise PanelError(problem)
        self.fixed, self.moving, self.settings = fixed, moving, settings
        self.fraction, self.step = 0.0, "preparing"
        self.finished = self.cancelled = False
        self.outcome: Outcome | None = None
        self.error: PanelError | None = None
        self.process: Process | None = None
        self.job = Job(settings.keepFiles)
        self.remaining = Remaining()
        self._log: list[str] = []
        self._task = None  # of mrml, where something bends space or has several channels
        self._said: dict | None = None
        self._course = self._run()

    @property
    def log(self) -> str:
        """Steps with their times, then whatever else the child printed."""
        printed = self.process.log() if self.process is not None and self.job.folder.exists() else ""
        return "\n".join([*self._log, printed]).strip()

    def advance(self) -> bool:
        """Does a few milliseconds of work; whether the run has finished."""
        if self.finished:
            return True
        try:
            next(self._course)
        except StopIteration:
            self._end()
        except PanelError as error:
            self._end(error)
        except Exception as error:  # the library's own (a bent space), or a defect: a sentence all the same
            import traceback

            code = getattr(error, "exit_code", 5)
            words = str(error) if code != 5 else _("Internal error ({kind}: {reason}); please report it.").format(
                kind=type(error).__name__, reason=error
            )  # fmt: skip
            self._end(PanelError(words, code, traceback.format_exc()))
        return self.finished

    def wait(self, pause: float = 0.02) -> Outcome:
        """Runs to the end and returns the outcome. Raises the PanelError of a run that failed."""
        while not self.advance():
            if self.process is not None:
                time.sleep(pause)
        if self.error is not None:
            raise self.error
        return self.outcome

    def cancel(self) -> None:
        """Ends the child with everything it started and takes the temporary files away; the scene is as it was."""
        if not self.finished:
            self.cancelled = True
            self._note(_("cancelled"))
            self._end(PanelError(_("Cancelled; nothing was changed."), 4))

    def _end(self, error: PanelError | None = None) -> None:
        self.error, self.finished = error, True
        self._course.close()
        if self.process is not None:
            self._log.append(self.process.log())
            self.process.kill()
            self.process = None
        if error is not None and error.details and error.details not in self._log:
            self._log.append(error.details)
        self.job.close()

    def _run(self) -> Iterator[None]:
        yield  # the window shows that something has begun
        yield from self._prepare()
        self.job.write()
        self.process = Process(self.job, self.settings.command)
        self._note(_("started, process {pid}").format(pid=self.process.pid))
        yield from self._watch()
        self.step = "filling"
        yield
        found = self.job.result()
        if self.fixed.GetScene() is None or self.moving.GetScene() is None:
            raise PanelError(_("A volume was removed from the scene meanwhile; choose the volumes again."))
        if self._task is not None:
            from . import bent

            self.outcome = bent.deliver(self.job, self._task, found)
        else:
            self.outcome = self._deliver(found, (yield from self._ready(found)))
        self.fraction = 1.0

    def _prepare(self) -> Iterator[None]:
        s = self.settings
        self.job.set(
            model=s.model, refine=s.refine, device=s.device, seed=s.seed,
            inverse=bool(s.outputInverse), translated=bool(s.outputTranslated),
        )  # fmt: skip
        if self._bends() or self._many_channels():
            from . import bent  # brings torch into this process

            self._task = yield from bent.prepare(self.job, self.fixed, self.moving, s)
            return
        for role, node in (("fixed", self.fixed), ("moving", self.moving)):
            yield from self.job.place(role, nodes.voxels(node), inputs.placed(node))
        for role, node in (("fixed_mask", s.fixedMask), ("moving_mask", s.movingMask)):
            if node is not None:
                array, where = inputs.mask_voxels(node)
                yield from self.job.place(role, array, where)
        self.job.set(start=self._start())

    def _bends(self) -> bool:
        s = self.settings
        around = [n for n in (self.fixed, self.moving, s.fixedMask, s.movingMask) if n is not None]
        given = hasattr(s.start, "IsTransformToWorldLinear") and not s.start.IsTransformToWorldLinear()
        return given or any(nodes.parent_to_world(node) is None for node in around)

    def _many_channels(self) -> bool:
        """Whether `mrml` must choose what is registered, or how it is resampled: colours, vectors, labels."""
        data = [node.GetImageData() for node in (self.fixed, self.moving)]
        several = any(d is not None and d.GetNumberOfScalarComponents() > 1 for d in data)
        return several or self.moving.IsA("vtkMRMLLabelMapVolumeNode")

    def _start(self):
        """A name, or the linear start node as a map of LPS mm, world to world."""
        start = self.settings.start
        if isinstance(start, str):
            return start
        if start.GetID() == self.moving.GetTransformNodeID():
            return {"affine": np.eye(4).tolist()}  # already on the moving volume
        import vtk

        matrix = vtk.vtkMatrix4x4()
        start.GetMatrixTransformToWorld(matrix)  # from the node's space to the world: the inverse of what is asked
        inside = np.linalg.inv(nodes.matrix_array(matrix))
        whole = nodes.parent_to_world(self.moving) @ inside
        return {"affine": (nodes.FLIP @ whole @ nodes.FLIP).tolist()}

    def _watch(self) -> Iterator[None]:
        """Until the child has said how it ended, and is gone: to wait for that in one go would stop the window."""
        said_at = None
        while True:
            events, code = self.process.poll()
            for event in events:
                self._hear(event)
            if self._said is not None and said_at is None:
                said_at = time.monotonic()
                self.process.end()  # everything is on the disk
            gone = code is not None or time.monotonic() - (said_at or time.monotonic()) > GRACE_SECONDS
            if self._said is not None and gone:
                break
            if code is not None:
                raise sentence_for(code, self.process.log())
            yield
        if self._said["event"] == "error":
            raise PanelError(self._said["message"], self._said.get("code", 5), self._said.get("details", ""))

    def _hear(self, event: dict) -> None:
        if event["event"] == "progress":
            with contextlib.suppress(TypeError, ValueError, KeyError):
                self.fraction = max(self.fraction, min(1.0, float(event["fraction"])))
                step = str(event["step"])
                if step != self.step:
                    self.step = step
                    self._note(in_words(step))
        elif event["event"] in ("done", "error"):
            self._said = event

    def _note(self, words: str) -> None:
        self._log.append(f"{time.strftime('%H:%M:%S')}  {100 * self.fraction:3.0f} %  {words}")

    def _ready(self, found: dict) -> Iterator[None]:
        """What the nodes will hold, made one by one so that the window stays alive; the scene is not touched."""
        wanted, ready = self.settings.outputs(), {}
        for key, name in (("volume", "warped"), ("translated", "translated")):
            if wanted[key] and found.get(name):
                for data in nodes.image_data_in_slabs(self.job.array(found[name])):
                    ready[key] = data
                    yield
        for key, node in (("transform", self.moving), ("inverse", self.fixed)):
            if wanted[key] and found.get(key):
                ready[key] = self._local(found[key], node)
                yield
        return ready

    def _deliver(self, found: dict, ready: dict) -> Outcome:
        """Fills the nodes; when something fails, those made are taken away again."""
        scene, wanted = self.fixed.GetScene(), self.settings.outputs()
        names, made, filled = names_for(self.fixed, self.moving), [], dict.fromkeys(KINDS)
        try:
            for key, content in ready.items():
                node = wanted[key]
                if node is True:
                    node = scene.AddNewNodeByClass(KINDS[key], scene.GenerateUniqueName(names[key]))
                    made.append(node)
                filled[key] = node
                if key in ("volume", "translated"):
                    nodes.fill_volume(node, content, self.fixed)
                    nodes.show_as(node, self.moving if key == "volume" else self.fixed)
                else:
                    ends = (self.fixed, self.moving) if key == "transform" else (self.moving, self.fixed)
                    nodes.fill_transform(node, content, *ends)
            filled["transform"].SetAttribute(REPORT_ATTRIBUTE, json.dumps(found["report"]))
        except BaseException:
            for node in made:
                remove_with_displays(scene, node)
            raise
        return Outcome(
            filled["transform"], filled["volume"], filled["inverse"], filled["translated"], found["report"]
        )

    def _local(self, entry: dict, node):
        """World to world, LPS, into the node's own space: exact, its parents are linear here."""
        parents = nodes.FLIP @ nodes.parent_to_world(node) @ nodes.FLIP
        affine = np.array(entry["affine"])
        if not np.array_equal(parents, np.eye(4)):
            affine = np.linalg.inv(parents) @ affine
        field = self.job.array(entry["field"]) if entry["field"] else None
        return nodes.vtk_transform(field, entry.get("grid"), affine)
