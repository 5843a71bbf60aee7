"""The module file, loaded unmodified on slicer-core with stand-ins for what only the application has."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import types
import typing
from xml.etree import ElementTree

import pytest
from file_lists import MODULE

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (requirements/demo.txt)")
vtk = pytest.importorskip("vtk")

UI = ElementTree.parse(MODULE / "Resources" / "UI" / "DeepMultiModalReg.ui")
STAND_INS = '''
import sys, types
import slicer, slicer.util

def put(name, **members):
    module = types.ModuleType(f"slicer.{name}")
    module.__dict__.update(members)
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)

class Logic:
    def getParameterNode(self):
        return slicer.vtkMRMLScriptedModuleNode()

class Base:
    def __init__(self, parent=None):
        self.parent = parent

put("i18n", tr=lambda text: text, translate=lambda context, text: text)
put("parameterNodeWrapper", parameterNodeWrapper=lambda wrapped: wrapped, WithinRange=lambda low, high: (low, high))
put("ScriptedLoadableModule", ScriptedLoadableModule=Base, ScriptedLoadableModuleWidget=Base,
    ScriptedLoadableModuleLogic=Logic, ScriptedLoadableModuleTest=type("Test", (), {}))
'''


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch):
    """The module, with the stand-ins in place while the test runs."""
    names = ("i18n", "parameterNodeWrapper", "ScriptedLoadableModule")
    for name in names:  # registered for removal afterwards, then replaced by the stand-ins
        monkeypatch.setitem(sys.modules, f"slicer.{name}", types.ModuleType(name))
        monkeypatch.setattr(slicer, name, None, raising=False)
    exec(STAND_INS, {})
    spec = importlib.util.spec_from_file_location("DeepMultiModalReg", MODULE / "DeepMultiModalReg.py")
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "DeepMultiModalReg", loaded)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch):
    scene = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    return scene


def test_opening_the_module_imports_neither_torch_nor_simpleitk_nor_yaml() -> None:
    code = f"""{STAND_INS}
import importlib.util
sys.path.insert(0, {str(MODULE)!r})
spec = importlib.util.spec_from_file_location("DeepMultiModalReg", {str(MODULE / "DeepMultiModalReg.py")!r})
module = importlib.util.module_from_spec(spec)
sys.modules["DeepMultiModalReg"] = module
spec.loader.exec_module(module)
logic = module.DeepMultiModalRegLogic()
logic.modelNames()
logic.whatIsMissing(None, None)
print(sorted({{"torch", "SimpleITK", "yaml"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_models_offered_are_those_in_the_folders(module, tmp_path, monkeypatch) -> None:
    for name in ("mine-3d", "yours-2d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.yaml").touch()
    (tmp_path / "unfinished").mkdir()
    shipped = set(module.DeepMultiModalRegLogic().modelNames())
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    names = module.DeepMultiModalRegLogic().modelNames()
    assert set(names) == shipped | {"mine-3d", "yours-2d"} and names == sorted(names)
    assert shipped == {p.parent.name for p in (MODULE.parent / "models").glob("*/model.yaml")}


def volume(scene, name: str, voxels: int):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    if voxels:
        image = vtk.vtkImageData()
        image.SetDimensions(voxels, voxels, voxels)
        image.AllocateScalars(4, 1)
        node.SetAndObserveImageData(image)
    return node


def test_what_is_missing_is_said_in_words_and_process_refuses(module, scene, monkeypatch) -> None:
    from DeepMultiModalRegLib.panel import packages

    logic = module.DeepMultiModalRegLogic()
    fixed, moving, empty = volume(scene, "Fixed", 4), volume(scene, "Moving", 4), volume(scene, "Hollow", 0)
    assert logic.whatIsMissing(fixed, moving) == ""
    assert "Choose" in logic.whatIsMissing(None, moving) and "Choose" in logic.whatIsMissing(fixed, None)
    assert "same" in logic.whatIsMissing(fixed, fixed)
    assert "'Hollow' is empty" in logic.whatIsMissing(fixed, empty)
    with pytest.raises(ValueError, match="'Hollow' is empty"):
        logic.process(fixed, empty)
    monkeypatch.setattr(packages, "installed", lambda package: package != "torch")
    assert logic.whatIsMissing(fixed, moving).startswith("PyTorch not installed")


def test_process_hands_its_choices_to_the_library_and_returns_the_nodes(module, scene, monkeypatch) -> None:
    import DeepMultiModalRegLib.mrml as mrml

    calls = []

    def register_nodes(*volumes, **settings):
        calls.append((volumes, settings))
        return types.SimpleNamespace(transformNode="transform", volumeNode="volume")

    monkeypatch.setattr(mrml, "register_nodes", register_nodes, raising=False)
    logic = module.DeepMultiModalRegLogic()
    fixed, moving = volume(scene, "Fixed", 4), volume(scene, "Moving", 4)
    assert logic.process(fixed, moving, model="mine-3d", outputTransform="kept", refine=3) == ("transform", "volume")
    assert calls == [
        ((fixed, moving), {"model": "mine-3d", "outputTransform": "kept", "outputVolume": True, "refine": 3})
    ]


def test_every_widget_that_the_panel_names_is_in_the_ui_file_and_tied_to_a_parameter(module) -> None:
    source = (MODULE / "DeepMultiModalReg.py").read_text(encoding="utf-8")
    widgets = {widget.get("name"): widget.get("class") for widget in UI.iter("widget")}
    places = (MODULE / "DeepMultiModalRegLib" / "panel").glob("*_section.py")
    sections = [path.read_text(encoding="utf-8") for path in places]
    assert set(re.findall(r"\b(?:self\._?)?ui\.(\w+)", "".join([source, *sections]))) <= set(widgets)
    tied = {
        widget.get("name"): prop.find("string").text
        for widget in UI.iter("widget")
        for prop in widget.findall("property")
        if prop.get("name") == "SlicerParameterName"
    }
    parameters = typing.get_type_hints(module.DeepMultiModalRegParameterNode)
    classes = {str: None, bool: "QCheckBox", int: "QSpinBox"}
    for name, parameter in tied.items():  # what Slicer can tie
        assert widgets[name] == classes.get(parameters[parameter], "qMRMLNodeComboBox"), name
    by_hand = {"model", "mode", "start", "device", "shownTransform", "shownVolume", "shownTranslated"}
    assert set(tied.values()) == set(parameters) - by_hand
    scenes = {c.find("receiver").text for c in UI.iter("connection") if "setMRMLScene" in c.find("slot").text}
    selectors = ("qMRMLNodeComboBox", "qMRMLCheckableNodeComboBox")
    assert scenes == {name for name, kind in widgets.items() if kind in selectors}
    for name, parameter in tied.items():
        if widgets[name] == "qMRMLNodeComboBox":  # Slicer replaces the list by the parameter's own classes
            kinds = typing.get_args(parameters[parameter]) or (parameters[parameter],)
            listed = [
                word.text
                for widget in UI.iter("widget") if widget.get("name") == name
                for p in widget.findall("property") if p.get("name") == "nodeTypes"
                for word in p.findall("stringlist/string")
            ]
            assert listed == [kind.__name__ for kind in kinds if kind is not type(None)]
