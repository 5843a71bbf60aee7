"""DeepMultiModalReg: the module of 3D Slicer. Thin: DeepMultiModalRegLib does the work, imported when it is needed."""

# No postponed annotations here: parameterNodeWrapper reads the types while the class is being made.
import importlib.util
import os
from pathlib import Path

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTransformNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
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
            "For research use."
        )
        self.parent.acknowledgementText = _(
            "Each model names the work to cite in its description (models/NAME/model.yaml)."
        )


@parameterNodeWrapper
class DeepMultiModalRegParameterNode:
    """What the panel shows, kept in the scene. model: a name of the catalogue, or nothing for the one that fits."""

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    outputTransform: vtkMRMLTransformNode
    outputVolume: vtkMRMLScalarVolumeNode
    model: str = ""


class DeepMultiModalRegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/DeepMultiModalReg.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = DeepMultiModalRegLogic()
        self.ui.modelSelector.addItem(_("Automatic"), "")
        for name in self.logic.modelNames():
            self.ui.modelSelector.addItem(name, name)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.modelSelector.connect("currentIndexChanged(int)", self.onModelSelected)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self.initializeParameterNode()

    def exit(self) -> None:
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event) -> None:
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: DeepMultiModalRegParameterNode | None) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.onParameterNodeModified()

    def onParameterNodeModified(self, caller=None, event=None) -> None:
        if self._parameterNode is None:
            return
        # A model of a scene from elsewhere that is not installed here shows as Automatic.
        self.ui.modelSelector.setCurrentIndex(max(0, self.ui.modelSelector.findData(self._parameterNode.model)))
        missing = self.logic.whatIsMissing(self._parameterNode.fixedVolume, self._parameterNode.movingVolume)
        self.ui.applyButton.enabled = not missing
        self.ui.applyButton.toolTip = missing or _("Register the moving volume onto the fixed volume.")
        self.ui.statusLabel.text = missing

    def onModelSelected(self, index: int) -> None:
        if self._parameterNode is not None:
            self._parameterNode.model = self.ui.modelSelector.itemData(index) or ""

    def onApply(self, checked: bool = False) -> None:
        node = self._parameterNode
        with slicer.util.tryWithErrorDisplay(_("The registration did not succeed."), waitCursor=True):
            node.outputTransform, node.outputVolume = self.logic.process(
                node.fixedVolume,
                node.movingVolume,
                model=node.model or None,
                outputTransform=node.outputTransform,
                outputVolume=node.outputVolume,
            )
            self.ui.statusLabel.text = _("Done: see transform '{transform}' and volume '{volume}'.").format(
                transform=node.outputTransform.GetName(), volume=node.outputVolume.GetName()
            )


class DeepMultiModalRegLogic(ScriptedLoadableModuleLogic):
    """The same registration for panel and scripts; needs no main window."""

    def getParameterNode(self) -> DeepMultiModalRegParameterNode:
        return DeepMultiModalRegParameterNode(super().getParameterNode())

    def modelNames(self) -> list[str]:
        """Names of the installed models, by their folders alone: the panel opens without torch and yaml."""
        library = Path(importlib.util.find_spec("DeepMultiModalRegLib").origin).parent
        own = [Path(folder) for folder in os.environ.get("DEEPMULTIMODALREG_MODELS", "").split(os.pathsep) if folder]
        places = [*own, library.parent.parent / "models", library / "models"]
        return sorted({path.parent.name for place in places for path in place.glob("*/model.yaml")})

    def whatIsMissing(self, fixedVolume, movingVolume) -> str:
        """What keeps the registration from starting, in words for the user; nothing when it can start."""
        if fixedVolume is None or movingVolume is None:
            return _("Choose a fixed and a moving volume.")
        if fixedVolume is movingVolume:
            return _("The fixed and the moving volume are the same; choose two different ones.")
        for volume in (fixedVolume, movingVolume):
            if volume.GetImageData() is None or volume.GetImageData().GetNumberOfPoints() == 0:
                return _("Volume '{name}' is empty; choose one that has voxels.").format(name=volume.GetName())
        absent = [name for package, name in (("torch", "PyTorch"), ("yaml", "PyYAML")) if not _installed(package)]
        if absent:
            return _("{packages} not installed: install it through the extension PyTorch, then restart Slicer.").format(
                packages=_(" and ").join(absent)
            )
        return ""

    def process(self, fixedVolume, movingVolume, model=None, outputTransform=None, outputVolume=None, **settings):
        """Registers movingVolume onto fixedVolume; both stay as they are.

        model: a name of modelNames(), or None for the one that fits. outputTransform, outputVolume: nodes to fill,
        made where None. settings: those of DeepMultiModalRegLib.mrml.register_nodes (start, refine, fixedMask, ...).
        Returns (transform node, volume node). Raises ValueError where an input is missing, else the library's errors.
        """
        missing = self.whatIsMissing(fixedVolume, movingVolume)
        if missing:
            raise ValueError(missing)
        from DeepMultiModalRegLib.mrml import register_nodes

        settings.update(model=model, outputTransform=outputTransform, outputVolume=outputVolume or True)
        nodes = register_nodes(fixedVolume, movingVolume, **settings)
        return nodes.transformNode, nodes.volumeNode


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


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
        self.assertIn("Choose", logic.whatIsMissing(volume, None))
        self.assertIn("same", logic.whatIsMissing(volume, volume))
        self.assertIn("Empty", logic.whatIsMissing(volume, empty))
        with self.assertRaises(ValueError):
            logic.process(None, volume)

    def test_aPairIsRegisteredAndInputsStay(self) -> None:
        logic = DeepMultiModalRegLogic()
        fixed, moving = self.addBall("Fixed", 0.0), self.addBall("Moving", 6.0)
        if logic.whatIsMissing(fixed, moving) or not logic.modelNames():
            self.delayDisplay("PyTorch or a model is not installed: registration is not tested")
            return
        before = slicer.util.arrayFromVolume(moving).copy()
        transform, volume = logic.process(fixed, moving)
        self.assertTrue((slicer.util.arrayFromVolume(moving) == before).all())
        self.assertIsNone(moving.GetParentTransformNode())
        self.assertTrue(transform.IsA("vtkMRMLTransformNode"))
        target = slicer.util.arrayFromVolume(fixed).astype(float)
        after = slicer.util.arrayFromVolume(volume).astype(float)
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
