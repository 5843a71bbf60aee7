"""Parallel: pieces of one computation on as many threads as torch has, each piece on one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
_here = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """[work(item) for item in items], some at a time; the first error is raised.

    Torch's own threads meet after every operation, and a piece that stays in the cache takes ten microseconds: less
    than the meeting. Here a thread does a whole piece. What an item gives must not depend on the others; then results
    are the same bits whatever the number of threads. Inside of `work` torch has one thread, so calls may nest.
    """
    items = list(items)
    threads = getattr(_here, "threads", 0) or torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    gradients = torch.is_grad_enabled()  # a thread's own setting, as all of torch's are

    def piece(item: Item) -> Result:
        with torch.set_grad_enabled(gradients):
            return work(item)

    return list(_pool(threads).map(piece, items))


@contextmanager
def by_pieces() -> Iterator[None]:
    """Within it `each` has all of torch's threads and torch itself has one: for work in many small operations."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    _here.threads = threads
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _here.threads = 0


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            pool, before = ThreadPoolExecutor(threads, "piece"), torch.get_num_threads()
            ready = threading.Barrier(threads + 1)
            for _ in range(threads):
                pool.submit(_alone, ready)
            ready.wait()
            torch.set_num_threads(before)  # what a new thread begins with is everybody's: as it was
            _pools[threads] = pool
        return _pools[threads]


def _alone(ready: threading.Barrier) -> None:
    """One thread for torch within this one; it is read once, at the first look."""
    torch.set_num_threads(1)
    torch.get_num_threads()
    ready.wait()
