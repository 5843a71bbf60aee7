"""What every test shares: quiet threads, the data folder, the lattices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch, Qt or VTK is imported by any test.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import pytest  # noqa: E402
import torch  # noqa: E402
from lattices import LATTICES, LATTICES_2D, LATTICES_3D  # noqa: E402

from DeepMultiModalRegLib.core import Grid  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real test images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("DEEPMULTIMODALREG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the test images are not here ({folder}); set DEEPMULTIMODALREG_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    """A command run within a test may set the number of threads, on which a network's last bits depend."""
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def working_folder_stays() -> Iterator[None]:
    """No test, and nothing it calls, may leave the process in another folder: relative names would change meaning."""
    before = os.getcwd()
    yield
    try:
        after = os.getcwd()
    except FileNotFoundError:
        after = "a folder that was deleted"
    os.chdir(before)
    assert after == before


@pytest.fixture(params=LATTICES, ids=str)
def lattice(request: pytest.FixtureRequest) -> Grid:
    """Every named lattice, 3D and 2D."""
    return LATTICES[request.param]


@pytest.fixture(params=LATTICES_3D, ids=str)
def lattice3d(request: pytest.FixtureRequest) -> Grid:
    return LATTICES_3D[request.param]


@pytest.fixture(params=LATTICES_2D, ids=str)
def lattice2d(request: pytest.FixtureRequest) -> Grid:
    return LATTICES_2D[request.param]
