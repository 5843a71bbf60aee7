"""PySide6 with PythonQt's habits, as Slicer's scripts know them: a module `qt` with every name, properties as plain
attributes, `widget.connect("clicked()", function)`. Install once a process; errors of slots are collected."""

from __future__ import annotations

import ctypes
import functools
import inspect
import sys
import traceback
import types

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

# named like virtual functions: Shiboken would call the property's value
VIRTUAL = {"sizeHint", "minimumSizeHint"}
ERRORS: list[str] = []


class PropertyOfQt:
    """A Q_PROPERTY as a Python attribute; on the class it stays the getter that PySide has."""

    def __init__(self, name: str, original: object) -> None:
        self.name, self.original = name, original

    def __get__(self, obj, kind=None):
        if obj is None:
            return self.original
        return QtCore.QObject.property(obj, self.name)

    def __set__(self, obj, value) -> None:
        if not QtCore.QObject.setProperty(obj, self.name, value):
            raise TypeError(f"{type(obj).__name__}.{self.name} does not take {value!r}")


def give_properties(kind: type) -> None:
    """Puts the properties that a class itself adds on it, as attributes."""
    meta = kind.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in VIRTUAL:
            setattr(kind, name, PropertyOfQt(name, getattr(kind, name, None)))


def connect(self, signal: str, slot) -> None:
    """object.connect("clicked(bool)", function); the function gets as many arguments as it takes."""
    name, _, kinds = signal.rstrip(")").partition("(")
    bound = getattr(self, name, None)
    if bound is None or not hasattr(bound, "emit"):
        raise AttributeError(f"{type(self).__name__} has no signal {signal}")
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    known = {"int": int, "bool": bool, "double": float, "QString": str}
    if len(wanted) == 1 and wanted[0] in known:
        try:
            bound = bound[known[wanted[0]]]
        except (KeyError, IndexError, TypeError):
            pass
    try:
        parameters = inspect.signature(slot).parameters.values()
        most = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        most = 99 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else most
    except (TypeError, ValueError):
        most = 99
    most = min(most, len(wanted))

    def called(*arguments) -> None:
        try:
            slot(*arguments[:most])
        except Exception:
            ERRORS.append(traceback.format_exc())

    bound.connect(called)


def _remember(kind, value, trace) -> None:
    """PySide reports through the hook what a native slot raised."""
    ERRORS.append("".join(traceback.format_exception(kind, value, trace)))
    sys.__excepthook__(kind, value, trace)


def keep_none() -> None:
    """PySide6 6.12 gives up a reference to None with every call that returns nothing: it takes None for immortal, as
    Python 3.12 has it. Python 3.11 would end with "deallocating None" after some 10,000 calls."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def install(loader: type) -> types.ModuleType:
    """The module `qt`; `loader` is its QUiLoader. To be called once."""
    keep_none()
    qt = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(source):
            if name.startswith("Q") or name == "Qt":
                setattr(qt, name, getattr(source, name))
    kinds = {k for k in vars(qt).values() if isinstance(k, type) and issubclass(k, QtCore.QObject)}
    kinds = {k for k in kinds if not issubclass(k, QtWidgets.QLayout)}  # its properties are virtual functions too
    for kind in sorted(kinds, key=lambda k: len(k.__mro__)):
        give_properties(kind)
    QtCore.QObject.name = PropertyOfQt("objectName", None)
    plain = QtCore.QObject.__getattribute__  # PySide's own `connect` cannot be replaced on the class
    QtCore.QObject.__getattribute__ = lambda self, name: (
        functools.partial(connect, self) if name == "connect" else plain(self, name)
    )
    qt.QUiLoader = loader
    sys.excepthook = _remember
    return qt
