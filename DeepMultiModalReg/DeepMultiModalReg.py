"""DeepMultiModalReg: the module of 3D Slicer. Thin: DeepMultiModalRegLib does the work, imported when it is needed."""

# No postponed annotations here: parameterNodeWrapper reads the types while the class is being made.
from typing import Annotated, Union

import slicer
import vtk
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class DeepMultiModalReg(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("DeepMultiModalReg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["DeepMultiModalReg maintainers"]
        self.parent.helpText = _(
            "Registers two volumes of different modality (MR T1 onto T2, CT onto MR, ...) within seconds, by trained "
            "networks that run on this computer. Choose the fixed and the moving volume and press Apply: the result is "
            "a transform for everything drawn on the moving volume, and the moving volume resampled on the fixed one. "
            "For research use. Look at the result under Compare before you use it."
        )
        self.parent.acknowledgementText = _(
            "Please cite the work behind the model that you used: the panel names it under Method, and the model's "
            "own description (models/NAME/model.yaml) with its training data and licence."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """The bundled pair in the module Sample Data; nothing is downloaded."""
    import SampleData

    from DeepMultiModalRegLib.panel import sample

    sample.register(SampleData.SampleDataLogic)


# parameterNodeWrapper wants this spelling, and None among the kinds
Mask = Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007


@parameterNodeWrapper
class DeepMultiModalRegParameterNode:
    """What the panel shows, kept in the scene. model: a name of the catalogue, or nothing for the one that fits.
    shown...: what the last run made, which Compare, Quality and Transfer are about."""

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    fixedMask: Mask
    movingMask: Mask
    initialTransform: vtkMRMLTransformNode
    model: str = ""
    outputTransform: vtkMRMLTransformNode
    wantVolume: bool = True
    outputVolume: vtkMRMLScalarVolumeNode
    wantInverse: bool = False
    outputInverse: vtkMRMLTransformNode
    wantTranslated: bool = False
    outputTranslated: vtkMRMLScalarVolumeNode
    mode: str = "auto"
    start: str = "moments"
    refine: Annotated[int, WithinRange(0, 1000)] = 0
    device: str = "auto"
    seed: Annotated[int, WithinRange(0, 999999)] = 0
    keepFiles: bool = False
    shownTransform: vtkMRMLTransformNode
    shownVolume: vtkMRMLScalarVolumeNode
    shownTranslated: vtkMRMLScalarVolumeNode
    fixedSegments: vtkMRMLSegmentationNode
    movingSegments: vtkMRMLSegmentationNode
    fixedPoints: vtkMRMLMarkupsFiducialNode
    movingPoints: vtkMRMLMarkupsFiducialNode


class DeepMultiModalRegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: connects the widgets to the sections of DeepMultiModalRegLib.panel."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.parameters = self._guiTag = None
        self.sections = ()

    def setup(self) -> None:
        import qt

        from DeepMultiModalRegLib.panel.method_section import MethodSection
        from DeepMultiModalRegLib.panel.quality_section import QualitySection
        from DeepMultiModalRegLib.panel.run_section import RunSection
        from DeepMultiModalRegLib.panel.view_section import ViewSection

        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/DeepMultiModalReg.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = DeepMultiModalRegLogic()
        self.timer, self.flickerTimer, self.deviceTimer = qt.QTimer(), qt.QTimer(), qt.QTimer()
        for timer, milliseconds in ((self.timer, 30), (self.flickerTimer, 500), (self.deviceTimer, 100)):
            timer.setInterval(milliseconds)
        self.method, self.run = MethodSection(self), RunSection(self)
        self.views, self.quality = ViewSection(self), QualitySection(self)
        self.sections = (self.method, self.run, self.views, self.quality)
        self.connectWidgets()
        for event, callback in ((slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose),
                                (slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)):  # fmt: skip
            self.addObserver(slicer.mrmlScene, event, callback)
        self.initializeParameterNode()

    def connectWidgets(self) -> None:
        ui = self.ui
        self.timer.connect("timeout()", self.onTimer)
        self.flickerTimer.connect("timeout()", self.views.tick)
        self.deviceTimer.connect("timeout()", self.method.list_devices)
        for name in ("model", "start", "mode", "device"):
            getattr(ui, f"{name}Selector").connect("currentIndexChanged(int)", self.onChosen)
        ui.blendSlider.connect("valueChanged(double)", self.views.fade)
        ui.transferSelector.connect("checkedNodesChanged()", self.quality.store_ticks)
        ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", lambda shut: shut or self.method.ask_devices())
        actions = {
            ui.applyButton: self.run.start, ui.cancelButton: self.run.cancel, ui.installButton: self.install,
            ui.measureButton: self.quality.measure, ui.jacobianButton: self.quality.jacobian,
            ui.transferButton: self.quality.apply_transfer, ui.transferUndoButton: self.quality.undo_transfer,
            ui.restoreButton: self.leaveViews, ui.beforeButton: lambda: self.views.show(after=False),
            ui.afterButton: lambda: self.views.show(after=True),
        }  # fmt: skip
        actions |= {button: (lambda m=mode: self.views.show(m)) for mode, button in self.views.buttons.items()}
        for button, action in actions.items():
            button.connect("clicked()", lambda a=action: self.guarded(a))

    def cleanup(self) -> None:
        """Ends what runs, gives the views back and lets go of the scene."""
        if self.sections:
            self.run.cancel()
            self.views.leave()
            self.method.close()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self.initializeParameterNode()

    def exit(self) -> None:
        """Another module is opened: the views are given back; a run goes on and is there on return."""
        self.leaveViews()
        if not self.run.running:
            self.setParameterNode(None)

    def onSceneStartClose(self, caller=None, event=None) -> None:
        self.run.cancel()
        self.views.leave()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller=None, event=None) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameters) -> None:
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.refresh)
        self.parameters = parameters
        if parameters is not None:
            tied = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
            tied.pop(None, None)
            tied.pop("", None)
            self._guiTag = parameters.connectParametersToGui(tied)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self.refresh)
        self.refresh()

    def refresh(self, caller=None, event=None) -> None:
        """Every section shows the parameter node as it is now."""
        for section in self.sections:
            if self.parameters is not None or section is not self.method:
                section.update(self.parameters)

    def scene(self):
        return slicer.mrmlScene

    def settings(self) -> dict:
        """The parameter node as arguments of the logic's startProcess."""
        p = self.parameters
        return {
            "fixedVolume": p.fixedVolume, "movingVolume": p.movingVolume, "model": p.model or None, "mode": p.mode,
            "start": p.initialTransform or p.start, "refine": p.refine, "device": p.device, "seed": p.seed,
            "fixedMask": p.fixedMask, "movingMask": p.movingMask, "outputTransform": p.outputTransform,
            "outputVolume": (p.outputVolume or True) if p.wantVolume else False,
            "outputInverse": (p.outputInverse or True) if p.wantInverse else False,
            "outputTranslated": (p.outputTranslated or True) if p.wantTranslated else False, "keepFiles": p.keepFiles,
        }  # fmt: skip

    def onChosen(self, index: int = 0) -> None:
        self.method.store()

    def onTimer(self) -> None:
        try:
            self.run.advance()
        except Exception as error:
            self.timer.stop()
            self.showError(error)

    def onDone(self, outcome) -> None:
        """The run's nodes become the chosen outputs, and the views show the registered volume on the fixed one."""
        p = self.parameters
        self.views.leave()
        if p is None:
            return
        with slicer.util.NodeModify(p):
            p.outputTransform = p.shownTransform = outcome.transformNode
            p.outputVolume, p.shownVolume = outcome.volumeNode or p.outputVolume, outcome.volumeNode
            p.outputInverse = outcome.inverseNode or p.outputInverse
            p.outputTranslated, p.shownTranslated = outcome.translatedNode or p.outputTranslated, outcome.translatedNode
        if outcome.volumeNode is not None:
            slicer.util.setSliceViewerLayers(p.fixedVolume, outcome.volumeNode, foregroundOpacity=0.5)
        self.ui.viewsCollapsibleButton.collapsed = self.ui.qualityCollapsibleButton.collapsed = False

    def leaveViews(self) -> None:
        self.views.leave()
        self.views.update(self.parameters)

    def install(self) -> None:
        self.run.install(slicer, slicer.util.confirmOkCancelDisplay)
        self.method.read_models()

    def guarded(self, action) -> None:
        """Runs what a button does; what goes wrong is a sentence on the screen."""
        try:
            action()
        except Exception as error:
            self.showError(error)
        self.refresh()

    def showError(self, error) -> None:
        self.ui.statusLabel.text = str(error)
        slicer.util.errorDisplay(str(error), detailedText=getattr(error, "details", "") or None)


class DeepMultiModalRegLogic(ScriptedLoadableModuleLogic):
    """The same registration for panel and scripts; needs no main window."""

    def getParameterNode(self) -> DeepMultiModalRegParameterNode:
        return DeepMultiModalRegParameterNode(super().getParameterNode())

    def modelNames(self) -> list[str]:
        """Names of the installed models, by their folders alone: the panel opens without torch and yaml."""
        from DeepMultiModalRegLib.panel import models

        return models.model_names()

    def whatIsMissing(self, fixedVolume, movingVolume) -> str:
        """What keeps the registration from starting, in words for the user; nothing when it can start."""
        from DeepMultiModalRegLib.panel import packages

        if fixedVolume is None and movingVolume is None:
            return _("Choose a fixed and a moving volume.")
        if fixedVolume is None:
            return _("Choose a fixed volume.")
        if movingVolume is None:
            return _("Choose a moving volume.")
        if fixedVolume is movingVolume:
            return _("Choose two different volumes: the fixed and the moving volume are the same.")
        for volume in (fixedVolume, movingVolume):
            if volume.GetImageData() is None or volume.GetImageData().GetNumberOfPoints() == 0:
                return _("Volume '{name}' is empty: choose one that has voxels.").format(name=volume.GetName())
        if absent := packages.missing():
            return _("{names} not installed: press Install at the top of the panel.").format(
                names=_(" and ").join(absent)
            )
        return ""

    def process(
        self, fixedVolume, movingVolume, model=None, outputTransform=None, outputVolume=True, mode="auto", **settings
    ):
        """Registers movingVolume onto fixedVolume and waits for the result; both volumes stay as they are.

        model: a name of modelNames(), affine, rigid, or None for the model that fits; mode: auto, volume or slices.
        outputTransform, outputVolume: nodes to fill, made where None (outputVolume False: none).
        settings: those of DeepMultiModalRegLib.mrml.register_nodes (start, refine, device, seed, fixedMask, movingMask,
        outputInverse, outputTranslated, progress, cancelled).
        Returns (transform node, volume node). Raises ValueError where an input is missing, else the library's errors.
        """
        if missing := self.whatIsMissing(fixedVolume, movingVolume):
            raise ValueError(missing)
        from DeepMultiModalRegLib.mrml import register_nodes
        from DeepMultiModalRegLib.panel.method_section import automatic_model

        settings["model"] = automatic_model(model or "", mode, fixedVolume, movingVolume)
        settings |= {"outputTransform": outputTransform, "outputVolume": True if outputVolume is None else outputVolume}
        nodes = register_nodes(fixedVolume, movingVolume, **settings)
        return nodes.transformNode, nodes.volumeNode

    def startProcess(self, fixedVolume, movingVolume, model=None, mode="auto", **settings):
        """As process, in a child process. Returns a running DeepMultiModalRegLib.panel.registration.Registration:
        call its advance() from a timer until it is finished, or its cancel(). settings: those of panel's Settings."""
        if missing := self.whatIsMissing(fixedVolume, movingVolume):
            raise ValueError(missing)
        from DeepMultiModalRegLib.panel.method_section import automatic_model
        from DeepMultiModalRegLib.panel.registration import Registration, Settings

        chosen = automatic_model(model or "", mode, fixedVolume, movingVolume)
        return Registration(fixedVolume, movingVolume, Settings(model=chosen, **settings))


class DeepMultiModalRegTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer (Reload and Test, or ctest); the library has its own tests in Testing/."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for test in (self.test_missingInputsAreNamed, self.test_aPairIsRegisteredAndInputsStay):
            self.setUp()
            test()
        self.delayDisplay("Test passed")

    def test_missingInputsAreNamed(self) -> None:
        logic = DeepMultiModalRegLogic()
        volume = self.addBall("Fixed", 0.0)
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        self.assertIn("moving", logic.whatIsMissing(volume, None))
        self.assertIn("same", logic.whatIsMissing(volume, volume))
        self.assertIn("Empty", logic.whatIsMissing(volume, empty))
        with self.assertRaises(ValueError):
            logic.process(None, volume)

    def test_aPairIsRegisteredAndInputsStay(self) -> None:
        logic = DeepMultiModalRegLogic()
        fixed, moving = self.addBall("Fixed", 0.0), self.addBall("Moving", 6.0)
        if missing := logic.whatIsMissing(fixed, moving):
            self.delayDisplay(f"Registration is not tested: {missing}")
            return
        before = slicer.util.arrayFromVolume(moving).copy()
        outcome = logic.startProcess(fixed, moving).wait()
        self.assertTrue((slicer.util.arrayFromVolume(moving) == before).all())
        self.assertIsNone(moving.GetParentTransformNode())
        self.assertTrue(outcome.transformNode.IsA("vtkMRMLTransformNode"))
        target = slicer.util.arrayFromVolume(fixed).astype(float)
        after = slicer.util.arrayFromVolume(outcome.volumeNode).astype(float)
        self.assertEqual(after.shape, target.shape)
        self.assertLess(abs(after - target).mean(), 0.5 * abs(before - target).mean())

    def addBall(self, name: str, shiftMm: float):
        """A volume of 64 x 64 x 64 voxels of 2 mm with a soft ball, off centre by shiftMm along x."""
        import numpy as np

        k, j, i = np.mgrid[0:64, 0:64, 0:64] * 2.0 - 63.0
        distance = np.sqrt((i - shiftMm) ** 2 + (j / 1.2) ** 2 + (k / 0.9) ** 2)
        array = (200.0 / (1.0 + np.exp((distance - 35.0) / 2.0)) + 40.0 * (distance < 18.0)).astype(np.float32)
        volume = slicer.util.addVolumeFromArray(array, name=name)
        volume.SetSpacing(2.0, 2.0, 2.0)
        volume.SetOrigin(-63.0, -63.0, -63.0)
        return volume
