"""The command `register` killed (SIGKILL) at any moment: no half-written file under a final name, and the next run
tidies up what was left beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from fakes import phantom, write_tiny_model
from lattices import make_grid, rotation, sitk_image

MOMENTS = 12
# imports once, then one child a moment: killed after a share of the time that a whole run takes
DRIVER = """
import json, os, signal, sys, time
sys.path[:0] = [sys.argv[1]]
from DeepMultiModalRegLib import engine, io  # torch and SimpleITK, before the children are made
from DeepMultiModalRegLib.cli import main
from DeepMultiModalRegLib.engine import catalogue
catalogue.SHIPPED = ()
words, out, moments = json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
def child():
    number = os.fork()
    if number == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(words))
    return number
began = time.perf_counter()
assert os.waitpid(child(), 0)[1] == 0
whole = time.perf_counter() - began
seen = []
for moment in range(moments):
    number = child()
    time.sleep(whole * (moment + 0.5) / moments)
    os.kill(number, signal.SIGKILL)
    killed = os.waitpid(number, 0)[1] == signal.SIGKILL
    seen.append({"killed": killed, "files": {e.name: e.stat().st_size for e in os.scandir(out)}})
assert os.waitpid(child(), 0)[1] == 0
print(json.dumps({"seen": seen, "left": sorted(os.listdir(out))}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_killed_at_twelve_moments_it_leaves_whole_files_only(tmp_path):
    for name, grid in (("fixed", make_grid((40, 38, 36), (2, 2, 2), (0, 0, 0), rotation(8, -5, 20))),
                       ("moving", make_grid((40, 40, 40), (2, 2, 2), (10, -40, 0), np.eye(3)))):  # fmt: skip
        sitk.WriteImage(sitk.Cast(sitk_image(phantom(grid)), sitk.sitkInt16), str(tmp_path / f"{name}.nrrd"))
    write_tiny_model(tmp_path / "models", "tiny")
    out = tmp_path / "out"
    out.mkdir()
    names = {"t.h5", "i.tfm", "w.nii.gz", "r.json"}
    words = ["register", "--fixed", tmp_path / "fixed.nrrd", "--moving", tmp_path / "moving.nrrd", "--model", "tiny",
             "--output-transform", out / "t.h5", "--output-inverse", out / "i.tfm", "--output-volume", out / "w.nii.gz",
             "--report", out / "r.json"]  # fmt: skip
    library = str(Path(__file__).resolve().parents[2] / "DeepMultiModalReg")
    environment = {**os.environ, "DEEPMULTIMODALREG_MODELS": str(tmp_path / "models"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, library, json.dumps([str(w) for w in words]), str(out), str(MOMENTS)],
        capture_output=True, text=True, timeout=400, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert sum(one["killed"] for one in said["seen"]) >= MOMENTS / 2  # the others were through already
    for one in said["seen"]:
        final = {name: size for name, size in one["files"].items() if not name.startswith(".")}
        assert set(final) == names  # those of the run before, or new ones: whole either way
        for name in ("t.h5", "w.nii.gz", "i.tfm"):
            assert final[name] == said["seen"][0]["files"][name]  # the same input gives the same bytes
    assert said["left"] == sorted(names)  # hidden folders of the killed ones were removed by the last
    sitk.ReadTransform(str(out / "t.h5"))
    sitk.ReadImage(str(out / "w.nii.gz"))
