"""Volumes, what must stay equal, and processes: for tests of the panel."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import slicer


def ball(name: str, shift=(0.0, 0.0, 0.0), size=(24, 22, 20), spacing=2.0, low=0, dtype=np.int16, kind=None):
    """A volume node with a soft ball, `shift` (RAS mm) from the lattice's middle."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij")
    points = [(a - (n - 1) / 2) * spacing - s for a, n, s in zip((i, j, k), size, shift, strict=True)]
    distance = np.sqrt(points[0] ** 2 + (points[1] / 1.2) ** 2 + (points[2] / 0.9) ** 2)
    array = (low + 200.0 / (1.0 + np.exp(distance - 10.0)) + 60 * (distance < 5)).astype(dtype)
    node = slicer.util.addVolumeFromArray(array, name=name, nodeClassName=kind)
    node.SetSpacing(spacing, spacing, spacing)
    node.SetOrigin(*(-(n - 1) / 2 * spacing for n in size))
    node.CreateDefaultDisplayNodes()
    if kind is None:
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevelMinMax(0, 260)
    return node


def state(scene) -> dict[str, tuple]:
    """Every node with its modified time, and a hash of its voxels and matrices: what must be equal afterwards."""
    found = {}
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        digest = ""
        if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is not None:
            digest = hashlib.sha256(slicer.util.arrayFromVolume(node).tobytes()).hexdigest()
        found[node.GetID()] = (node.GetName(), node.GetMTime(), digest)
    return found


def alive(pid: int) -> bool:
    """Whether a process of that id runs (one that waits to be collected does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return os.name == "posix" and not os.path.isdir("/proc/self")


def session_of(pid: int) -> list[int]:
    """The processes that run in the session of `pid`: a child of the panel with all that it started (Linux)."""
    found = []
    for folder in os.listdir("/proc"):
        if folder.isdigit() and alive(int(folder)):
            try:
                with open(f"/proc/{folder}/stat") as file:
                    session = int(file.read().rsplit(")", 1)[1].split()[3])
            except OSError:
                continue
            if session == pid:
                found.append(int(folder))
    return found
