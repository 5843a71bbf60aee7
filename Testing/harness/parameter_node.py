"""A stand-in for slicer.parameterNodeWrapper: the same attributes, kept in the same kind of node.

As in Slicer, connecting a node selector makes it list the classes of the annotation, and only those widgets can be tied
to a type that Slicer can tie: a selector to nodes, a check box to bool, a spin box to int.
"""

from __future__ import annotations

import typing

import slicer
import vtk
from PySide6 import QtWidgets

from .widgets import qMRMLNodeComboBox


class WithinRange:
    """The annotation of a number's limits."""

    def __init__(self, minimum, maximum) -> None:
        self.minimum, self.maximum = minimum, maximum


def parameterNodeWrapper(cls):
    hints = typing.get_type_hints(cls)
    cls.ranges = {
        name: found
        for name, kind in typing.get_type_hints(cls, include_extras=True).items()
        for found in getattr(kind, "__metadata__", ())
    }
    defaults = {name: getattr(cls, name, None) for name in hints}
    for name, kind in hints.items():
        if not _is_node(kind) and kind not in (str, int, bool, float):
            raise TypeError(f"{name}: Slicer cannot keep a {kind}")
        setattr(cls, name, _attribute(name, kind, defaults[name]))
    cls.allParameters = hints
    for function in (__init__, connectParametersToGui, disconnectGui, StartModify, EndModify, AddObserver,
                     RemoveObserver):  # fmt: skip
        setattr(cls, function.__name__, function)
    return cls


def node_kinds(kind) -> tuple:
    """The node classes of an annotation: one, or those of a Union, which must hold None, as Slicer wants it."""
    parts = typing.get_args(kind)
    if parts and type(None) not in parts:
        return ()
    return tuple(k for k in parts or (kind,) if k is not type(None))


def _is_node(kind) -> bool:
    kinds = node_kinds(kind)
    return bool(kinds) and all(isinstance(k, type) and issubclass(k, slicer.vtkMRMLNode) for k in kinds)


def _attribute(name: str, kind, default):
    def read(self):
        node = self.parameterNode
        if _is_node(kind):
            return node.GetNodeReference(name)
        text = node.GetParameter(name)
        if text == "" and kind is not str:
            return default
        return text == "True" if kind is bool else kind(text) if node.HasParameter(name) else default

    def write(self, value) -> None:
        if _is_node(kind):
            if value is not None and not isinstance(value, node_kinds(kind)):
                raise TypeError(f"{name} does not take {value}")
            self.parameterNode.SetNodeReferenceID(name, None if value is None else value.GetID())
        else:
            if not isinstance(value, kind):
                raise TypeError(f"{name} does not take {value!r}")
            self.parameterNode.SetParameter(name, str(value))

    return property(read, write)


def __init__(self, parameterNode) -> None:  # noqa: N807
    self.parameterNode, self._tied, self._updating = parameterNode, {}, False
    for name, kind in self.allParameters.items():
        if not _is_node(kind) and not parameterNode.HasParameter(name):
            parameterNode.SetParameter(name, str(getattr(self, name)))


def connectParametersToGui(self, mapping) -> int:
    tag = len(self._tied)
    self._tied[tag] = []
    for name, widget in mapping.items():
        kind = self.allParameters[name]
        if _is_node(kind) and type(widget) is qMRMLNodeComboBox:
            widget.nodeTypes = [k.__name__ for k in node_kinds(kind)]
            read, write, signal = widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged
        elif kind is bool and type(widget) is QtWidgets.QCheckBox:
            read = lambda w=widget: w.checked  # noqa: E731
            write, signal = widget.setChecked, widget.stateChanged
        elif kind is int and type(widget) is QtWidgets.QSpinBox:
            read = lambda w=widget: w.value  # noqa: E731
            limits = self.ranges.get(name)  # without them Slicer takes the widget's own limits away
            widget.setRange(*((limits.minimum, limits.maximum) if limits else (-(2**31), 2**31 - 1)))
            write, signal = widget.setValue, widget.valueChanged
        else:
            raise RuntimeError(f"Unable to create GUI connector from datatype '{kind}' to widget '{type(widget)}'")
        write(getattr(self, name))

        def changed(*_, name=name, read=read) -> None:
            if not self._updating:
                setattr(self, name, read())

        signal.connect(changed)
        self._tied[tag].append((name, write, signal, changed))
    self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _show(self))
    return tag


def _show(self) -> None:
    if self._updating:
        return
    self._updating = True
    try:
        for ties in self._tied.values():
            for name, write, _, _ in ties:
                write(getattr(self, name))
    finally:
        self._updating = False


def disconnectGui(self, tag) -> None:
    for _, _, signal, changed in self._tied.pop(tag, []):
        signal.disconnect(changed)


def StartModify(self):
    return self.parameterNode.StartModify()


def EndModify(self, modifying):
    return self.parameterNode.EndModify(modifying)


def AddObserver(self, event, callback, priority=0.0):
    return self.parameterNode.AddObserver(event, callback, priority)


def RemoveObserver(self, tag):
    return self.parameterNode.RemoveObserver(tag)
