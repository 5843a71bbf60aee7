"""Pieces on threads: in order, the same bits however many threads, and torch's own settings stay."""

from __future__ import annotations

import threading

import pytest
import torch
from lattices import make_grid, random_image, rotation, smooth_field

from DeepMultiModalRegLib.core import Composite, resample
from DeepMultiModalRegLib.core.parallel import by_pieces, each


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_what_comes_out_is_in_the_order_of_what_goes_in(threads):
    assert each(lambda n: n * n, range(40)) == [n * n for n in range(40)]
    assert each(str, []) == []


def test_pieces_run_at_the_same_time_each_with_one_thread_of_torch(threads):
    meeting = threading.Barrier(threads)

    def piece(_: int) -> tuple[int, list[int]]:
        meeting.wait(20)  # none goes on before all are here
        return torch.get_num_threads(), each(lambda n: torch.get_num_threads(), range(3))

    assert each(piece, range(threads)) == [(1, [1, 1, 1])] * threads
    assert torch.get_num_threads() == threads


def test_within_work_by_pieces_torch_has_one_thread_and_afterwards_its_own_again(threads):
    with pytest.raises(ZeroDivisionError), by_pieces():
        assert torch.get_num_threads() == 1
        names = each(lambda n: threading.current_thread().name, range(200))
        assert (threads == 1) == (set(names) == {threading.current_thread().name})
        each(lambda n: 1 // n, range(5))
    assert torch.get_num_threads() == threads


def test_gradients_are_recorded_as_the_caller_wants(threads):
    x = torch.ones(4, requires_grad=True)
    assert all(y.requires_grad for y in each(lambda n: x[n] * n, range(4)))
    with torch.no_grad():
        assert not any(y.requires_grad for y in each(lambda n: x[n] * n, range(4)))


def test_a_resampled_image_is_the_same_bits_on_any_number_of_threads(monkeypatch):
    from importlib import import_module

    monkeypatch.setattr(import_module("DeepMultiModalRegLib.core.resample"), "SLAB_VOXELS", 1000)
    grid = make_grid((23, 19, 17), (1, 1.4, 2.2), (-30, 20, 10), rotation(15, -14, 28))
    image, transform = random_image(grid), Composite(smooth_field(grid, 3.0), None)
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(resample(image, grid, transform).tensor)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
