"""Peers: the protocol with the worker, what is made of its files, and what a missing or failing one says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
from fakes import phantom
from lattices import LATTICES_3D

from DeepMultiModalRegLib.core import Affine, Grid, InputError, RegistrationError, resample
from DeepMultiModalRegLib.evaluation.displacement import summary, transform_errors
from DeepMultiModalRegLib.evaluation.peer_worker import clock, since
from DeepMultiModalRegLib.evaluation.peers import PEERS, MissingPeerError, run_peer

PLANE = Grid.regular((64, 60), (1.5, 1.5))


@pytest.fixture
def python(tmp_path: Path, monkeypatch):
    """Puts a script in the place of the Python that runs peers; it gets the worker's and the jobs' path."""

    def put(body: str, interpreter: str = sys.executable) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!{interpreter}\n{body}")
        script.chmod(0o755)
        monkeypatch.setenv("DEEPMULTIMODALREG_PEERS_PYTHON", str(script))

    return put


FAKE = """
import json, os, sys
import numpy as np
task = json.load(open(sys.argv[2]))
for job in task["jobs"]:
    os.makedirs(job["out"])
    assert os.path.isfile(job["fixed"]) and os.path.isfile(job["moving"])
    {save}
count = len(task["jobs"])
answer = {{"seconds": [1.5] * count, "cpu_seconds": [2.5] * count, "peak_mb": 12.0, "version": "fake 1"}}
json.dump(answer, open(sys.argv[2] + ".out", "w"))
"""


def test_an_affine_in_json_is_taken_as_it_is(python):
    python(FAKE.format(save="json.dump([[1, 0, 3], [0, 1, -2], [0, 0, 1]], open(job['out'] + '/affine.json', 'w'))"))
    run = run_peer("ants-affine", [(phantom(PLANE), phantom(PLANE))] * 2)
    assert [(r.seconds, r.cpu_seconds) for r in run.results] == [(1.5, 2.5)] * 2
    assert run.peak_mb == 12.0 and run.version == "fake 1"
    assert isinstance(run.results[0].transform, Affine)
    assert run.results[0].transform.translation.tolist() == [3.0, -2.0]


VOXELS = "np.array([1, 2, 0], np.float32).reshape(3, 1, 1, 1) * np.ones((3, *job['shape']), np.float32)"


def cubes(name: str) -> Grid:
    """The lattice of that name with voxels of 1.25 mm."""
    grid = LATTICES_3D[name]
    return Grid(grid.size, (1.25,) * 3, grid.origin, grid.direction)


@pytest.mark.parametrize("name", ["oblique", "oblique_left_handed", "permuted"])
def test_voxels_along_the_lattices_axes_become_mm(python, name):
    grid = cubes(name)
    python(FAKE.format(save=f"np.save(job['out'] + '/voxels.npy', {VOXELS})"))
    found = run_peer("convexadam", [(phantom(grid), phantom(grid))]).results[0].transform
    points = grid.points()
    assert torch.allclose(found.points(points[:, :-2, :-1]), points[:, 2:, 1:], atol=1e-3)


def test_a_peer_that_takes_voxels_for_cubes_gets_cubes_of_the_same_volume(python):
    grid = LATTICES_3D["anisotropic"]
    python(FAKE.format(save=f"np.save(job['out'] + '/voxels.npy', {VOXELS})"))
    found = run_peer("convexadam", [(phantom(grid), phantom(grid))]).results[0].transform
    side = (0.8 * 1.1 * 3.5) ** (1 / 3)
    middle = grid.centre[None]
    assert torch.allclose(found.points(middle) - middle, torch.tensor([[side, 2 * side, 0.0]]).double(), atol=1e-4)


def test_the_affine_start_that_a_peer_gets_is_within_its_result_and_its_moving_image(python):
    grid = cubes("oblique")
    shift = torch.tensor([5.0, -3.0, 2.0], dtype=torch.float64)
    start = Affine.from_parts(torch.eye(3, dtype=torch.float64) * 1.1, shift)
    fixed = phantom(grid)
    moving = resample(fixed, Grid.regular((60, 60, 60), 0.6, start.points(grid.centre)), start.inverse())
    unaided = resample(moving, grid).tensor
    assert (unaided - fixed.tensor).abs().mean() > 0.5 * fixed.tensor.mean()
    # the fake compares the moving image that it gets with the fixed one, and finds nothing left to do but one voxel
    python(FAKE.format(save=(
        "a, b = (np.fromfile(job[s][:-4] + '.raw', np.float32) for s in ('fixed', 'moving'))\n"
        "    assert abs(a - b).mean() < 0.2 * a.mean(), (a.mean(), abs(a - b).mean())\n"
        f"    np.save(job['out'] + '/voxels.npy', {VOXELS})"
    )))  # fmt: skip
    found = run_peer("convexadam-affine", [(fixed, moving)], starts=[start]).results[0].transform
    points = grid.points(torch.float64)
    assert torch.allclose(found.points(points[:, :-2, :-1]), start.points(points[:, 2:, 1:]), atol=1e-3)


def test_only_the_peer_that_needs_a_start_takes_one():
    with pytest.raises(InputError, match="needs an affine start"):
        run_peer("convexadam-affine", [])
    with pytest.raises(InputError, match="takes no start"):
        run_peer("convexadam", [], starts=[])


def test_a_peer_that_is_not_installed_says_so_and_how_to_get_it(python):
    python('"$SHELLPYTHON" -S "$@"\n'.replace('"$SHELLPYTHON"', sys.executable), "/bin/sh")
    with pytest.raises(MissingPeerError, match="antspyx.*pip install antspyx"):
        run_peer("ants-syn", [(phantom(PLANE), phantom(PLANE))])


def test_a_peer_that_fails_gives_its_last_word(python):
    python("import sys; sys.exit('it went wrong')\n")
    with pytest.raises(RegistrationError, match="it went wrong"):
        run_peer("greedy-nmi", [(phantom(PLANE), phantom(PLANE))])


def test_an_unknown_peer_and_one_that_takes_no_slices_are_refused():
    with pytest.raises(InputError, match="is not one of"):
        run_peer("ants-magic", [])
    with pytest.raises(InputError, match="volumes only"):
        run_peer("convexadam", [(phantom(PLANE), phantom(PLANE))])


def needs(package: str) -> None:
    """Skips where the Python that runs peers does not have it."""
    python = os.environ.get("DEEPMULTIMODALREG_PEERS_PYTHON", sys.executable)
    found = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", found], capture_output=True).returncode:
        pytest.skip(f"the package {package} is not installed for {python}")


def test_a_real_convexadam_finds_a_known_shift_in_the_right_direction_on_an_oblique_left_handed_lattice():
    needs("convexAdam")
    named = LATTICES_3D["oblique_left_handed"]
    grid = Grid((48, 42, 36), (2.0,) * 3, named.origin, named.direction)
    fixed, moving = phantom(grid), phantom(grid, shift=(6.0, -4.0, 2.0))
    shift = torch.tensor([6.0, -4.0, 2.0], dtype=torch.float64)
    truth = Affine.from_parts(torch.eye(3, dtype=torch.float64), shift)
    found = run_peer("convexadam", [(fixed, moving)]).results[0]
    errors = transform_errors(found.transform, truth, grid, fixed.tensor[0] > 100)
    assert summary(errors)["mean"] < 2.5 and found.cpu_seconds > 0  # of 7.5


@pytest.mark.parametrize(
    ("name", "package"),
    [("ants-affine", "ants"), ("elastix-affine", "itk"), ("greedy-affine", "picsl_greedy")],
)
def test_a_real_peer_finds_a_known_shift_in_the_right_direction(name, package):
    needs(package)
    fixed, moving = phantom(PLANE), phantom(PLANE, shift=(6.0, -4.0))
    truth = Affine.from_parts(torch.eye(2, dtype=torch.float64), torch.tensor([6.0, -4.0], dtype=torch.float64))
    before = set(os.listdir())
    run = run_peer(name, [(fixed, moving)])
    inside = fixed.tensor[0] > 100
    assert summary(transform_errors(run.results[0].transform, truth, PLANE, inside))["mean"] < 2.5  # of 7.2
    assert 0 < run.results[0].cpu_seconds and 0 < run.results[0].seconds and run.startup_seconds > 0
    assert set(os.listdir()) == before  # a peer leaves nothing where the command stands


def test_a_call_that_sleeps_takes_wall_seconds_and_one_that_works_takes_processor_seconds_too():
    started = clock()
    time.sleep(0.3)
    asleep = since(started)
    assert asleep >= 0.3 and asleep.cpu < 0.15
    started, used = clock(), time.process_time()
    while time.process_time() - used < 0.3:
        sum(range(1000))
    awake = since(started)
    assert awake.cpu == pytest.approx(0.3, abs=0.1) and awake >= awake.cpu - 0.02


def test_one_command_installs_every_peer():
    """The extra `peers` and requirements/peers.txt name the packages of all peers, and the extra nothing else."""

    def plain(name: str) -> str:
        return re.split(r"[=<>~! ]", name)[0].lower().replace("_", "-")

    root = Path(__file__).resolve().parents[2]
    extra = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]["peers"]
    lines = (root / "requirements" / "peers.txt").read_text().splitlines()
    pinned = {plain(line) for line in lines if line and not line.startswith("#")}
    wanted = {plain(package) for package, _ in PEERS.values()}
    assert {plain(name) for name in extra} == wanted == pinned - {"torch", "numpy"}
