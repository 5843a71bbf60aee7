"""Peers: the protocol with the worker, what is made of its files, and what a missing or failing one says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from fakes import phantom
from lattices import LATTICES_3D

from DeepMultiModalRegLib.core import Affine, Grid, InputError, RegistrationError
from DeepMultiModalRegLib.evaluation.displacement import summary, transform_errors
from DeepMultiModalRegLib.evaluation.peers import MissingPeerError, run_peer

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
answer = {{"seconds": [1.5] * len(task["jobs"]), "peak_mb": 12.0, "version": "fake 1"}}
json.dump(answer, open(sys.argv[2] + ".out", "w"))
"""


def test_an_affine_in_json_is_taken_as_it_is(python):
    python(FAKE.format(save="json.dump([[1, 0, 3], [0, 1, -2], [0, 0, 1]], open(job['out'] + '/affine.json', 'w'))"))
    run = run_peer("ants-affine", [(phantom(PLANE), phantom(PLANE))] * 2)
    assert [r.seconds for r in run.results] == [1.5, 1.5] and run.peak_mb == 12.0 and run.version == "fake 1"
    assert isinstance(run.results[0].transform, Affine)
    assert run.results[0].transform.translation.tolist() == [3.0, -2.0]


def test_voxels_along_the_lattices_axes_become_mm_on_an_oblique_lattice(python):
    grid = LATTICES_3D["oblique"]
    voxels = "np.array([1, 2, 0], np.float32).reshape(3, 1, 1, 1) * np.ones((3, *job['shape']), np.float32)"
    python(FAKE.format(save=f"np.save(job['out'] + '/voxels.npy', {voxels})"))
    found = run_peer("convexadam", [(phantom(grid), phantom(grid))]).results[0].transform
    points = grid.points()
    assert torch.allclose(found.points(points[:, :-2, :-1]), points[:, 2:, 1:], atol=1e-3)


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


@pytest.mark.parametrize(
    ("name", "package"),
    [("ants-affine", "ants"), ("elastix-affine", "itk.elxParameterObjectPython"), ("greedy-affine", "picsl_greedy")],
)
def test_a_real_peer_finds_a_known_shift_in_the_right_direction(name, package):
    pytest.importorskip(package)
    fixed, moving = phantom(PLANE), phantom(PLANE, shift=(6.0, -4.0))
    truth = Affine.from_parts(torch.eye(2, dtype=torch.float64), torch.tensor([6.0, -4.0], dtype=torch.float64))
    found = run_peer(name, [(fixed, moving)]).results[0].transform
    inside = fixed.tensor[0] > 100
    assert summary(transform_errors(found, truth, PLANE, inside))["mean"] < 1.5  # of 7.2
