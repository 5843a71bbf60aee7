"""Comparison: fixed against moving, before and after, in Slicer's slice views; they are given back on leaving."""

from __future__ import annotations

from ..mrml import nodes
from ..mrml.board import checkerboard, shades
from ..mrml.outputs import remove_with_displays
from . import derived
from .viewstate import ViewState, nodes_of
from .words import PanelError
from .words import tr as _

MODES = ("blend", "redCyan", "checkerboard", "flicker", "sideBySide", "together", "grid", "difference")
PAIR, FOUR = ("Red", "Yellow"), ("Red", "Slice4", "Green", "Yellow")  # slice views of Slicer's layouts, row by row
RED, CYAN = "vtkMRMLColorTableNodeRed", "vtkMRMLColorTableNodeCyan"
GREY = "vtkMRMLColorTableNodeGrey"


class Comparison:
    """registered, translated and transform may be None where there are none (yet): `available` says what can be shown.

    The views are remembered when the first picture is shown, and restored by close().
    """

    def __init__(self, scene, fixed, moving, registered=None, translated=None, transform=None) -> None:
        self.scene, self.fixed, self.moving = scene, fixed, moving
        self.registered, self.translated, self.transform = registered, translated, transform
        self.mode, self.after, self.opacity = "blend", registered is not None, 0.5
        self._state: ViewState | None = None
        self._made: list = []
        self._grid: tuple | None = None  # display node, a copy of what it was, nodes made for it
        self._flick = False

    @property
    def shown(self) -> bool:
        return self._state is not None

    def available(self, mode: str) -> str:
        """Why a picture cannot be shown, or nothing."""
        if mode == "difference" and self.translated is None:
            return _("Needs the translated volume: tick it under Outputs and apply again.")
        if mode == "grid" and self.transform is None:
            return _("Needs the transform: apply first.")
        return ""

    def show(self, mode: str | None = None, after: bool | None = None, opacity: float | None = None) -> None:
        """One of MODES, before or after the registration. Raises PanelError where it is not available."""
        mode = self.mode if mode is None else mode
        if problem := self.available(mode):
            raise PanelError(problem)
        if self._state is None:
            self._state = ViewState(self.scene, (self.fixed, self.moving, self.registered, self.translated))
        else:
            self._clear()
        self.mode = mode
        self.after = (self.after if after is None else after) and self.registered is not None
        self.opacity = self.opacity if opacity is None else opacity
        getattr(self, f"_show_{mode}")(self.registered if self.after else self.moving)

    def fade(self, opacity: float) -> None:
        """The blend's slider: 0 is the fixed volume alone, 1 the other one."""
        self.opacity = opacity
        if self.shown and self.mode in ("blend", "grid"):
            for layers in self._views():
                layers.SetForegroundOpacity(opacity)

    def tick(self) -> None:
        """The next picture of the flicker."""
        if self.shown and self.mode == "flicker":
            self._flick = not self._flick
            for layers in self._views():
                layers.SetForegroundOpacity(float(self._flick))

    def close(self) -> None:
        """The views as they were; what was made for the pictures is gone."""
        if self._state is not None:
            self._clear()
            self._state = None

    def _clear(self) -> None:
        self._state.restore(self.scene)
        for node in reversed(self._made):
            if node.GetScene() is not self.scene:
                continue
            if node.IsA("vtkMRMLDisplayableNode"):
                remove_with_displays(self.scene, node)
            else:
                self.scene.RemoveNode(node)
        self._made = []
        if self._grid is not None:
            display, kept, made = self._grid
            self._grid = None
            if kept is not None and display.GetScene() is self.scene:
                display.Copy(kept)
            elif kept is None and display.GetScene() is self.scene:
                display.SetVisibility(False)  # a view lets go of it before it leaves
            for node in made:
                if node.GetScene() is self.scene:
                    self.scene.RemoveNode(node)

    def _views(self) -> list:
        return nodes_of(self.scene, "vtkMRMLSliceCompositeNode")

    def _layer(self, background, foreground=None, opacity: float = 0.0, add: bool = False) -> None:
        for layers in self._views():
            layers.SetBackgroundVolumeID(background.GetID())
            layers.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
            layers.SetLabelVolumeID(None)
            layers.SetForegroundOpacity(opacity)
            layers.SetCompositing(layers.Add if add else layers.Alpha)

    def _show_blend(self, other) -> None:
        self._layer(self.fixed, other, self.opacity)

    def _show_redCyan(self, other) -> None:
        self.fixed.GetDisplayNode().SetAndObserveColorNodeID(RED)
        other.GetDisplayNode().SetAndObserveColorNodeID(CYAN)
        self._layer(self.fixed, other, 1.0, add=True)

    def _show_flicker(self, other) -> None:
        self._flick = False
        self._layer(self.fixed, other, 0.0)

    def _show_sideBySide(self, other) -> None:
        self._beside("SlicerLayoutSideBySideView", dict(zip(PAIR, (self.fixed, other), strict=True)))

    def _show_together(self, other) -> None:
        """Fixed, moving, registered and, where there is none translated, the blend of the first and the third."""
        last = self.translated or self.fixed
        volumes = (self.fixed, self.moving, self.registered or self.moving, last)
        self._beside("SlicerLayoutTwoOverTwoView", dict(zip(FOUR, volumes, strict=True)))
        if self.translated is None:
            for layers in self._views():
                if layers.GetLayoutName() == FOUR[-1]:
                    layers.SetForegroundVolumeID(other.GetID())
                    layers.SetForegroundOpacity(self.opacity)

    def _beside(self, layout: str, volumes: dict) -> None:
        """A volume a view, all in the plane of the first view, linked: they scroll and zoom together."""
        for node in nodes_of(self.scene, "vtkMRMLLayoutNode"):
            node.SetViewArrangement(getattr(node, layout))
        slices = {node.GetLayoutName(): node for node in nodes_of(self.scene, "vtkMRMLSliceNode")}
        for layers in self._views():
            layers.SetBackgroundVolumeID(volumes.get(layers.GetLayoutName(), self.fixed).GetID())
            layers.SetForegroundVolumeID(None)
            layers.SetLabelVolumeID(None)
            layers.SetForegroundOpacity(0.0)
            layers.SetLinkedControl(True)
        placed = [slices[name] for name in volumes if name in slices]  # none without a main window
        for node in placed[1:]:
            node.GetSliceToRAS().DeepCopy(placed[0].GetSliceToRAS())
            node.UpdateMatrices()
            node.SetFieldOfView(*placed[0].GetFieldOfView())
            node.SetXYZOrigin(*placed[0].GetXYZOrigin())

    def _show_grid(self, other) -> None:
        from ..mrml.views import show_grid

        self._layer(self.fixed, other, self.opacity)
        known = {self.scene.GetNthNode(i).GetID() for i in range(self.scene.GetNumberOfNodes())}
        display, kept = self.transform.GetDisplayNode(), None
        if display is not None:
            kept = display.CreateNodeInstance()
            kept.UnRegister(None)
            kept.Copy(display)
        display = show_grid(self.transform, self.fixed)
        everything = [self.scene.GetNthNode(i) for i in range(self.scene.GetNumberOfNodes())]
        self._grid = (display, kept, [node for node in everything if node.GetID() not in known])

    def _show_checkerboard(self, other) -> None:
        grey = [
            shades(derived.on_fixed_lattice(volume, self.fixed), *nodes.window_of(volume))
            for volume in (self.fixed, other)
        ]
        board = checkerboard(*grey, self.fixed.GetSpacing())
        self._layer(self._volume(board, _("Checkerboard"), (0, 255), GREY))

    def _show_difference(self, _other) -> None:
        first = nodes.voxels(self.fixed).astype("float32")
        difference = first - derived.on_fixed_lattice(self.translated, self.fixed)
        reach = max(self.fixed.GetDisplayNode().GetWindow() / 2, 1e-6)
        self._layer(self._volume(difference, _("Difference"), (-reach, reach), self._signs().GetID()))

    def _signs(self):
        """Colours for a picture only: blue below zero, black at zero, red above; brighter the further away."""
        node = self.scene.CreateNodeByClass("vtkMRMLColorTableNode")
        node.UnRegister(None)
        node.SetName(self.scene.GenerateUniqueName(_("Difference")))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetTypeToUser()
        node.SetNumberOfColors(256)
        for index in range(256):
            share = abs(index - 127.5) / 127.5
            strong, weak = share**0.7, max(0.0, 2 * share - 1)
            node.SetColor(index, *((strong, weak, weak) if index > 127 else (weak, weak, strong)), 1.0)
        self.scene.AddNode(node)
        self._made.append(node)
        return node

    def _volume(self, array, name: str, window: tuple[float, float], colour: str):
        """A volume for a picture only: hidden, not saved, taken away again."""
        node = self.scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
        node.UnRegister(None)
        node.SetName(self.scene.GenerateUniqueName(name))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self.scene.AddNode(node)
        self._made.append(node)
        nodes.fill_volume(node, nodes.image_data(array), self.fixed)
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*window)
        if self.scene.GetNodeByID(colour) is not None:
            display.SetAndObserveColorNodeID(colour)
        return node
