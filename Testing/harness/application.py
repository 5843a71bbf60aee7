"""The application around the module: what slicer-core lacks, with modal boxes recorded and answered."""

from __future__ import annotations

import importlib.util
import sys
import types
import unittest
from pathlib import Path

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

from . import parameter_node, pythonqt
from .widgets import STAND_INS, Loader, qMRMLWidget

MODULE = Path(__file__).resolve().parents[2] / "DeepMultiModalReg"


class Application(QtCore.QObject):
    """slicer.app, as far as the module and slicer.util use it."""

    applicationName = "Slicer"
    startupCompleted = QtCore.Signal()

    def __init__(self, qapplication) -> None:
        super().__init__()
        self._qt = qapplication
        self.boxes: list[str] = []
        self.answer = QtWidgets.QMessageBox.Ok

    def testingEnabled(self) -> bool:
        return False

    def topLevelWidgets(self) -> list:
        return self._qt.topLevelWidgets()

    def processEvents(self, *limits) -> None:
        self._qt.processEvents(*limits)

    def overrideCursor(self):
        return None

    def setOverrideCursor(self, cursor) -> None:
        pass

    def restoreOverrideCursor(self) -> None:
        pass

    def layoutManager(self):
        return None


class Box:
    """ctk.ctkMessageBox: recorded, answered at once."""

    def __init__(self, parent=None) -> None:
        self.text, self.detailedText = "", ""
        self.windowTitle, self.icon, self.standardButtons = "", None, None

    def deleteLater(self) -> None:
        pass

    def exec_(self):
        slicer.app.boxes.append(self.text)
        return slicer.app.answer


class Module:
    """ScriptedLoadableModule."""

    def __init__(self, parent) -> None:
        self.parent = parent


class Widget:
    """ScriptedLoadableModuleWidget."""

    def __init__(self, parent=None) -> None:
        self.moduleName = self.__class__.__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = QtWidgets.QWidget.layout(parent)

    def setup(self) -> None:
        pass

    def resourcePath(self, name: str) -> str:
        return str(MODULE / "Resources" / name)


class Logic:
    """ScriptedLoadableModuleLogic: one parameter node a scene."""

    def __init__(self, parent=None) -> None:
        self.moduleName = self.__class__.__name__.removesuffix("Logic")

    def getParameterNode(self):
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node.SetNodeReferenceID("dummy", None)
            node = scene.AddNode(node)
        if node.GetAttribute("ModuleName") != self.moduleName:
            node.SetAttribute("ModuleName", self.moduleName)
        return node


class Test(unittest.TestCase):
    """ScriptedLoadableModuleTest."""

    def delayDisplay(self, message, requestedDelay=None, msec=None) -> None:
        print(message)


_QT: dict = {}


def activate(monkeypatch) -> Application:
    """Qt (once a process) and what slicer lacks, for one test: other tests see slicer-core as it is."""
    if not _QT:
        _QT["application"] = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        QtWidgets.QApplication.setStyle("Fusion")
        _QT["qt"] = pythonqt.install(Loader)
        _QT["window"] = QtWidgets.QMainWindow()
        _QT["window"].setObjectName("qSlicerMainWindow")
    ctk = types.ModuleType("ctk")
    ctk.ctkMessageBox = Box
    for name, kind in STAND_INS.items():
        if name.startswith("ctk"):
            setattr(ctk, name, kind)
        else:
            monkeypatch.setattr(slicer, name, kind, raising=False)
    monkeypatch.setitem(sys.modules, "qt", _QT["qt"])
    monkeypatch.setitem(sys.modules, "ctk", ctk)
    application = Application(_QT["application"])
    monkeypatch.setattr(slicer, "app", application, raising=False)
    pythonqt.ERRORS.clear()
    members = {
        "i18n": {"tr": lambda text: text, "translate": lambda context, text: text},
        "parameterNodeWrapper": {
            "parameterNodeWrapper": parameter_node.parameterNodeWrapper, "WithinRange": parameter_node.WithinRange,
        },
        "ScriptedLoadableModule": {
            "ScriptedLoadableModule": Module, "ScriptedLoadableModuleWidget": Widget,
            "ScriptedLoadableModuleLogic": Logic, "ScriptedLoadableModuleTest": Test,
        },
    }  # fmt: skip
    for name, content in members.items():
        module = types.ModuleType(f"slicer.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(slicer, name, module, raising=False)
    return application


def load_module(monkeypatch):
    """The module file, unmodified."""
    spec = importlib.util.spec_from_file_location("DeepMultiModalReg", MODULE / "DeepMultiModalReg.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "DeepMultiModalReg", module)
    spec.loader.exec_module(module)
    return module


def open_panel(module, width: int = 460):
    """The module's widget, set up in a parent as Slicer does it."""
    parent = qMRMLWidget()
    parent.setLayout(QtWidgets.QVBoxLayout())
    parent.layout().setContentsMargins(4, 4, 4, 4)
    parent.setMRMLScene(slicer.mrmlScene)
    widget = module.DeepMultiModalRegWidget(parent)
    widget.setup()
    widget.enter()
    parent.resize(width, 1000)
    parent.show()
    slicer.app.processEvents()
    return widget
