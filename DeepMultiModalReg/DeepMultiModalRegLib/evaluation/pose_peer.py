"""A peer that stays: one process for many pairs, an affine transform for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

import torch

from ..core import Affine, Grid, Image, InputError, RegistrationError, Transform
from ..waiting import PATIENT
from . import peers
from .peers import MissingPeerError
from .pose_tools import Found

WORKER = Path(__file__).with_name("pose_worker.py")
POSE_PEERS = {  # those that find an affine transform
    "ants-affine": "antspyx",
    "ants-affine-searched": "antspyx",
    "elastix-rigid": "itk-elastix",
    "elastix-affine": "itk-elastix",
    "greedy-affine": "picsl_greedy",
}
NOT_AFFINE_MM = 0.01  # what a field may leave of an affine transform fitted to it: rounding


class PosePeer:
    """A tool (`pose_tools.Tool`) that is a peer: its process starts with the first pair and ends with `close`."""

    def __init__(self, name: str, seed: int, threads: int) -> None:
        """Raises InputError for a peer that finds no affine transform."""
        if name not in POSE_PEERS:
            raise InputError(f"The peer '{name}' is not one of {', '.join(POSE_PEERS)}.")
        self.name, self.seed, self.threads = name, seed, threads
        self._process: subprocess.Popen | None = None
        self._errors = tempfile.TemporaryFile("w+")
        self._folder = tempfile.TemporaryDirectory(prefix="pose-")  # elastix leaves a file where it stands
        self._version = ""

    def __call__(self, fixed: Image, moving: Image) -> dict[str, Found]:
        """Raises MissingPeerError where its package is not installed, RegistrationError where it fails."""
        if self._process is None:
            self._start()
        with tempfile.TemporaryDirectory(prefix="pose-") as folder:
            job = peers._job(Path(folder) / "pair", self.name, fixed, moving)
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            answer = self._answer()
            if "error" in answer:
                raise RegistrationError(f"The peer '{self.name}' failed: {answer['error']}")
            transform = affine_of(peers._found(Path(job["out"]), fixed.grid), fixed.grid)
        return {self.name: Found(transform, answer["seconds"], answer["cpu_seconds"], version=self._version)}

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        python = os.environ.get("DEEPMULTIMODALREG_PEERS_PYTHON", sys.executable)
        count = str(self.threads)
        environment = {
            **os.environ,
            **PATIENT,
            "OMP_NUM_THREADS": count,
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": count,
        }
        self._process = subprocess.Popen(
            [python, str(WORKER), self.name, str(self.seed)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._folder.name,
        )
        self._version = self._answer()["version"]

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._process = None
        self._errors.seek(0)
        last = deque((text.strip() for text in self._errors if text.strip()), 1)
        reason = last[0] if last else f"exit code {code}"
        if "ModuleNotFoundError" in reason:
            package = POSE_PEERS[self.name]
            raise MissingPeerError(
                f"The peer '{self.name}' is not installed ({package}); `pip install {package}` adds it."
            )
        raise RegistrationError(f"The peer '{self.name}' failed: {reason}")


def affine_of(transform: Transform, grid: Grid) -> Affine:
    """`transform` as an affine one; a field is fitted on `grid`'s corners and middle by least squares.

    Raises RegistrationError where it is not affine there.
    """
    if isinstance(transform, Affine):
        return transform
    x = torch.cat([grid.corners(), grid.centre[None]])
    x = grid.centre + (x - grid.centre) * (1 - 1e-6)  # rounding may lead a corner out of the lattice
    y = transform.points(x)
    ones = torch.cat([x - grid.centre, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    solution = torch.linalg.lstsq(ones, y).solution
    if float((ones @ solution - y).norm(dim=1).max()) > NOT_AFFINE_MM:
        raise RegistrationError("The transform found is not affine; leave this peer out of the poses.")
    linear = solution[:-1].T
    return Affine.from_parts(linear, solution[-1] - linear @ grid.centre)
