"""Small stand-ins for the qMRML and ctk widgets that the panel uses, bound to the real scene."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from shiboken6 import isValid

Property, Signal, Slot = QtCore.Property, QtCore.Signal, QtCore.Slot


class qMRMLWidget(QtWidgets.QWidget):  # noqa: N801 - Slicer's name
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.isEntered = True

    def setMRMLScene(self, scene) -> None:
        self.mrmlSceneChanged.emit(scene)


class ctkCollapsibleButton(QtWidgets.QWidget):  # noqa: N801
    """A title bar above its contents; collapsed hides them."""

    BAR = 24
    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    def _set_collapsed(self, collapsed: bool) -> None:
        changed = self._collapsed != collapsed
        self._collapsed = collapsed
        self._apply()
        if changed:
            self.contentsCollapsed.emit(collapsed)

    text = Property(str, lambda self: self._text, _set_text)
    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)

    def _apply(self) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not self._collapsed)
        self.setMaximumHeight(self.BAR + 2 if self._collapsed else 16777215)

    def event(self, event) -> bool:
        if event.type() == QtCore.QEvent.LayoutRequest or event.type() == QtCore.QEvent.Polish:
            layout = QtWidgets.QWidget.layout(self)
            if layout is not None and layout.contentsMargins().top() < self.BAR:
                layout.setContentsMargins(9, self.BAR + 5, 9, 7)
            if self._collapsed:
                self._apply()
        return super().event(event)

    def paintEvent(self, event) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(0, 0, QtWidgets.QWidget.size(self).width(), self.BAR, QtGui.QColor(222, 226, 232))
        painter.setPen(QtGui.QColor(40, 44, 52))
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(8, self.BAR - 7, f"{arrow}  {self._text}")
        painter.end()

    def mousePressEvent(self, event) -> None:
        if event.position().y() <= self.BAR:
            self._set_collapsed(not self._collapsed)


class NodeList:
    """Nodes of the scene of some classes, kept up to date."""

    def __init__(self) -> None:
        self._scene, self._tags, self._types, self._hidden = None, [], [], []

    def _set_types(self, types) -> None:
        self._types = list(types)
        self._changed()

    def _set_hidden(self, types) -> None:
        self._hidden = list(types)
        self._changed()

    def setMRMLScene(self, scene) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        self._tags = [scene.AddObserver(event, self._on_scene) for event in events] if scene is not None else []
        self._changed()

    def _on_scene(self, *_) -> None:
        if isValid(self):
            self._changed()

    def _nodes(self) -> list:
        if self._scene is None:
            return []
        found = []
        for kind in self._types:
            for index in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(index, kind)
                hidden = node.GetHideFromEditors() or any(node.IsA(k) for k in self._hidden)
                if not hidden and node not in found:
                    found.append(node)
        return found


class qMRMLNodeComboBox(QtWidgets.QComboBox, NodeList):  # noqa: N801
    currentNodeChanged = Signal(object)

    def __init__(self, parent=None) -> None:
        QtWidgets.QComboBox.__init__(self, parent)
        NodeList.__init__(self)
        self._facts = {"noneDisplay": "None", "addEnabled": True, "removeEnabled": True, "renameEnabled": False,
                       "noneEnabled": False}  # fmt: skip
        self._current = None
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        QtCore.QObject.property(self, "currentIndex")
        self.activated.connect(self._picked)

    def _fact(name, kind):  # noqa: N805
        def write(self, value) -> None:
            self._facts[name] = value
            self._changed()

        return Property(kind, lambda self: self._facts[name], write)

    noneDisplay, noneEnabled = _fact("noneDisplay", str), _fact("noneEnabled", bool)
    addEnabled, removeEnabled = _fact("addEnabled", bool), _fact("removeEnabled", bool)
    renameEnabled = _fact("renameEnabled", bool)
    nodeTypes = Property("QStringList", lambda self: self._types, NodeList._set_types)
    hideChildNodeTypes = Property("QStringList", lambda self: self._hidden, NodeList._set_hidden)

    def currentNode(self):
        return self._current

    def setCurrentNode(self, node) -> None:
        if node is not None and node not in self._nodes():
            node = None
        changed = node is not self._current
        self._current = node
        self._fill()
        if changed:
            self.currentNodeChanged.emit(node)

    def _changed(self) -> None:
        self.setCurrentNode(self._current if self._current in self._nodes() else None)

    def _fill(self) -> None:
        names = [self._facts["noneDisplay"]] + [node.GetName() for node in self._nodes()]
        QtWidgets.QComboBox.clear(self)
        QtWidgets.QComboBox.addItems(self, names)
        index = 0 if self._current is None else 1 + self._nodes().index(self._current)
        QtWidgets.QComboBox.setCurrentIndex(self, index)

    def _picked(self, index: int) -> None:
        self.setCurrentNode(None if index == 0 else self._nodes()[index - 1])


class qMRMLCheckableNodeComboBox(QtWidgets.QComboBox, NodeList):  # noqa: N801
    checkedNodesChanged = Signal()

    def __init__(self, parent=None) -> None:
        QtWidgets.QComboBox.__init__(self, parent)
        NodeList.__init__(self)
        self._checked: list = []

    nodeTypes = Property("QStringList", lambda self: self._types, NodeList._set_types)

    def checkedNodes(self) -> list:
        return list(self._checked)

    def setCheckState(self, node, state) -> None:
        self._checked = [n for n in self._checked if n is not node] + ([node] if state else [])
        self._changed()
        self.checkedNodesChanged.emit()

    def check(self, node) -> None:
        self.setCheckState(node, 2)

    def uncheck(self, node) -> None:
        self.setCheckState(node, 0)

    def _changed(self) -> None:
        self._checked = [node for node in self._checked if node in self._nodes()]
        QtWidgets.QComboBox.clear(self)
        QtWidgets.QComboBox.addItem(self, ", ".join(n.GetName() for n in self._checked) or "None")


class ctkSliderWidget(QtWidgets.QWidget):  # noqa: N801
    valueChanged = Signal(float)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._facts = {"minimum": 0.0, "maximum": 1.0, "value": 0.0, "singleStep": 0.1, "decimals": 2}
        self._slider, self._spin = QtWidgets.QSlider(QtCore.Qt.Horizontal, self), QtWidgets.QDoubleSpinBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._spin)
        self._slider.setRange(0, 1000)
        self._slider.valueChanged.connect(lambda v: self._take(self._low() + v / 1000 * self._span()))
        self._spin.valueChanged.connect(self._take)

    def _low(self) -> float:
        return self._facts["minimum"]

    def _span(self) -> float:
        return self._facts["maximum"] - self._facts["minimum"]

    def _take(self, value: float) -> None:
        value = min(max(value, self._facts["minimum"]), self._facts["maximum"])
        if abs(value - self._facts["value"]) < 1e-9:
            return
        self._facts["value"] = value
        for widget, shown in ((self._slider, round(1000 * (value - self._low()) / self._span())), (self._spin, value)):
            widget.blockSignals(True)
            widget.setValue(shown)
            widget.blockSignals(False)
        self.valueChanged.emit(value)

    def _fact(name, kind=float):  # noqa: N805
        def write(self, value) -> None:
            if name == "value":
                self._take(value)
                return
            self._facts[name] = value
            if name in ("minimum", "maximum"):
                self._spin.setRange(self._facts["minimum"], self._facts["maximum"])
            if name == "singleStep":
                self._spin.setSingleStep(value)

        return Property(kind, lambda self: self._facts[name], write)

    minimum, maximum, value = _fact("minimum"), _fact("maximum"), _fact("value")
    singleStep, decimals = _fact("singleStep"), _fact("decimals", int)

    def setValue(self, value: float) -> None:
        self._take(value)


STAND_INS = {kind.__name__: kind for kind in (
    qMRMLWidget, ctkCollapsibleButton, qMRMLNodeComboBox, qMRMLCheckableNodeComboBox, ctkSliderWidget,
)}  # fmt: skip


KEPT: list = []  # a stand-in whose Python half were collected would be called by Qt all the same


class Loader(QtUiTools.QUiLoader):
    """Makes the stand-ins; another custom widget is an error. Wires `<connections>` that carry a scene."""

    def createWidget(self, kind: str, parent=None, name: str = ""):
        if kind in STAND_INS:
            widget = STAND_INS[kind](parent)
            widget.setObjectName(name)
            self._made[name] = widget
            KEPT.append(widget)
            return widget
        if kind not in self.availableWidgets():
            raise RuntimeError(f"The .ui file uses {kind}, for which there is no stand-in.")
        return super().createWidget(kind, parent, name)

    def load(self, file, parent=None):
        from xml.etree import ElementTree

        self._made: dict = {}
        KEPT.append(self)
        path = file.fileName()
        tree = ElementTree.parse(path)
        connections = tree.getroot().find("connections")
        found = [] if connections is None else list(connections)
        # QUiLoader would warn of signals that only Python knows: give it the file without them
        if connections is not None:
            tree.getroot().remove(connections)
        data = QtCore.QBuffer()
        data.setData(ElementTree.tostring(tree.getroot()))
        data.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(data, parent)
        for connection in found:
            sender, signal, receiver, slot = (
                connection.find(tag).text for tag in ("sender", "signal", "receiver", "slot")
            )
            if "vtkMRMLScene*" not in signal:
                raise RuntimeError(f"The connection {signal} is not known to the harness.")
            getattr(self._made[sender], signal.split("(")[0]).connect(
                getattr(self._made[receiver], slot.split("(")[0])
            )
        return widget
