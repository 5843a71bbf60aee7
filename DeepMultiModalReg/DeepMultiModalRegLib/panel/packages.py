"""Packages: what is installed, and one consented installation. Never replaces a package that Slicer brings."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect

from .words import PanelError
from .words import tr as _

NEEDED = {"torch": "PyTorch", "yaml": "PyYAML"}
OLDEST_TORCH = ">=2.1"


def installed(package: str) -> bool:
    """Whether Python finds the package; nothing is imported."""
    return importlib.util.find_spec(package) is not None


def missing() -> list[str]:
    """The names of what is not installed, as a user knows them."""
    return [name for package, name in NEEDED.items() if not installed(package)]


def status() -> str:
    """One line for the panel."""
    absent = missing()
    if not absent:
        return _("PyTorch {version} is installed.").format(version=_version("torch"))
    return _("{names} not installed.").format(names=_(" and ").join(absent))


def question() -> str:
    """What the user is asked before anything is downloaded."""
    return _(
        "{names} will be downloaded (PyTorch: 0.2 to 3 GB, depending on the graphics card) and installed into Slicer's "
        "own Python. Slicer's packages are not replaced. Install now?"
    ).format(names=_(" and ").join(missing()))


def install(slicer_module) -> None:
    """Installs what is missing; the caller has asked the user. Raises PanelError with what to do where it cannot."""
    if not installed("torch"):
        _install_torch(slicer_module)
    if not installed("yaml"):
        _install_yaml(slicer_module)
    importlib.invalidate_caches()
    if absent := missing():
        raise PanelError(
            _("{names} could not be installed; look at the Python console, then try again or restart Slicer.").format(
                names=_(" and ").join(absent)
            )
        )


def _install_torch(slicer_module) -> None:
    try:
        import PyTorchUtils
    except ImportError as error:
        raise PanelError(
            _(
                "The extension PyTorch is not installed: open the Extensions Manager, install 'PyTorch', restart "
                "Slicer, then press Install again."
            )
        ) from error
    logic = PyTorchUtils.PyTorchUtilsLogic()
    # its releases disagree on names: `confirm` or `askConfirmation`, a version requirement or none
    known = inspect.signature(logic.installTorch).parameters
    wished = {"askConfirmation": False, "confirm": False, "torchVersionRequirement": OLDEST_TORCH}
    try:
        done = logic.installTorch(**{name: value for name, value in wished.items() if name in known})
    except Exception as error:
        raise PanelError(
            _("PyTorch could not be installed ({reason}); check the network and the free space on the disk.").format(
                reason=str(error)[:200]
            )
        ) from error
    if done is None and not installed("torch"):
        raise PanelError(_("PyTorch was not installed."))


def _install_yaml(slicer_module) -> None:
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        packaging = None
    pip = getattr(packaging, "pip_install", None) or getattr(slicer_module.util, "pip_install", None)
    try:
        pip("PyYAML")  # pure addition: it depends on nothing, so nothing of Slicer's can be replaced
    except Exception as error:
        raise PanelError(
            _("PyYAML could not be installed ({reason}); check the network.").format(reason=str(error)[:200])
        ) from error


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
