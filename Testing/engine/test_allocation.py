"""Freed memory is kept while a registration runs, and given back afterwards."""

from __future__ import annotations

import platform

import pytest
import torch

from DeepMultiModalRegLib.engine.allocation import kept_memory

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")

PAGES = 64 << 20 >> 12  # of the tensor below


def faults(times: int = 6) -> int:
    """Pages that the system had to hand out while 64 MB were asked for, written and freed again and again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(64 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])


def huge_pages() -> bool:
    """Whether the system hands out pages of 2 MB by itself: then faults are too few to count."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled") as setting:
            return "[always]" in setting.read()
    except OSError:
        return False


@pytest.mark.skipif(huge_pages(), reason="large pages by default: faults cannot be counted")
def test_the_same_memory_is_used_again_while_it_lasts_and_not_afterwards():
    with kept_memory():
        faults(1)
        assert faults() < 3 * PAGES
    assert faults() > 4 * PAGES


def test_what_was_kept_goes_back_to_the_system():
    before = resident()
    with kept_memory(), kept_memory():
        torch.ones(64 << 18)
        assert resident() - before > PAGES // 2, "it keeps nothing"
    assert resident() - before < PAGES // 2
