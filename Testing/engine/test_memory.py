"""When memory runs out: coarser, then the CPU, each time with a word; and what large images need."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import Constant, model_of, phantom
from lattices import make_grid, sitk_resample, smooth_field

from DeepMultiModalRegLib.core import Image
from DeepMultiModalRegLib.engine import network, register
from DeepMultiModalRegLib.engine.warping import warp
from DeepMultiModalRegLib.io import PixelInfo

GRID = make_grid((24, 22, 20), (2, 2, 2), (0, 0, 0), np.eye(3))


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_device_without_memory_hands_over_to_the_cpu_and_the_report_says_so(monkeypatch, dimension):
    """The device's part is played: whatever is to run on it finds no memory."""
    real = network._batches

    def short(method, working, seen, precision, *more):
        if precision.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(method, working, seen, precision, *more)

    monkeypatch.setattr(network, "_batches", short)
    monkeypatch.setattr(network, "_seeded", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(network, "release", lambda *_: None)
    model, pair = model_of(Constant(*[0.5] * dimension)), (phantom(GRID), phantom(GRID))
    begun = register(*pair, model, device="cpu")
    monkeypatch.setattr(network.Precision, "best", classmethod(lambda cls, place: cls(torch.device("cuda"))))
    monkeypatch.setattr(network, "_cpu", lambda: network.Precision(torch.device("cpu")))
    result = register(*pair, model, device="cpu")
    assert [w for w in result.report["warnings"] if "ran on the CPU" in w]
    assert result.report["machine"]["device"] == "cpu"
    assert torch.equal(result.warped.tensor, begun.warped.tensor)  # on the lattice that was wanted, not a coarser one


CHILD = """
import resource, sys
sys.path[:0] = sys.argv[1:3]
import torch
from fakes import model_of, phantom
from lattices import make_grid
import numpy as np
from DeepMultiModalRegLib.core import MemoryShortage
from DeepMultiModalRegLib.engine import register
from DeepMultiModalRegLib.methods.base import Method, MethodOutput
class Greedy(Method):
    multiple, dimension = 4, 3
    def __init__(self, floats):
        super().__init__()
        self.floats = floats
    def forward(self, fixed, moving, translate=False):
        self.voxels = fixed.numel()
        held = torch.zeros((self.floats * fixed.numel() + 1,))  # so many floats a voxel, as activations are
        return MethodOutput(torch.zeros((1, 3, *fixed.shape[2:])) + held[0])
grid = make_grid((48, 48, 48), (2, 2, 2), (0, 0, 0), np.eye(3))
pair = phantom(grid), phantom(grid)
first = Greedy(0)
register(*pair, model_of(first, 2.0))  # whatever is loaded late is there now
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
for floats in (150_000_000 // first.voxels, 1_000_000):  # 600 MB on this lattice; more than there is on any
    try:
        print(register(*pair, model_of(Greedy(floats), 2.0)).report["warnings"])
    except MemoryShortage as error:
        print("refused:", error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limits of processes")
def test_in_a_process_that_may_hold_no_more_a_coarser_lattice_is_taken_or_the_shortage_is_told():
    folders = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2] / "DeepMultiModalReg")]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *folders], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    assert "Memory was short: the network worked at" in said[0], said
    assert said[1].startswith("refused: Memory does not suffice"), said


def test_a_large_volume_is_converted_to_its_number_type_without_copies_of_it():
    array = np.random.default_rng(0).normal(0, 300, (1, 40, 512, 512)).astype(np.float32)
    expected = PixelInfo("int16").convert(array[:, :1])
    tracemalloc.start()
    written = PixelInfo("int16").convert(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(written[:, :1], expected) and written.dtype == np.int16
    assert peak < 1.6 * array.nbytes  # in doubles, as a whole, it would be more than five times


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_warping_in_slabs_is_warping_as_a_whole(monkeypatch, mode):
    image, transform = phantom(GRID, (3.0, -2.0, 1.0)), smooth_field(GRID, 3.0)
    image = image if mode == "linear" else Image((image.tensor > 300).to(torch.int32) * (1 << 25), GRID)
    whole = warp(image, GRID, transform, 0.0, lambda _: None, mode)
    monkeypatch.setattr("DeepMultiModalRegLib.engine.warping.SLAB_VOXELS", 24 * 22 * 3)
    told: list[float] = []
    slabs = warp(image, GRID, transform, 0.0, told.append, mode)
    assert slabs.tensor.dtype == whole.tensor.dtype
    assert (slabs.tensor - whole.tensor).abs().max() < 0.05  # places are rounded differently, of 1000 grey levels
    assert len(told) == 7 and told[-1] == 1.0
    if mode == "nearest":
        assert set(slabs.tensor.unique().tolist()) == {0, 1 << 25}
    else:
        assert np.abs(slabs.tensor.numpy() - sitk_resample(image, GRID, transform)).max() < 0.1
