"""Freed memory is kept while a registration runs, and given back afterwards: seen in a process of its own."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "DeepMultiModalReg"
SCRIPT = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
import torch
from DeepMultiModalRegLib.engine.allocation import kept_memory

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(64 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])

faults(1)
usual, before = faults(6), resident()
with kept_memory(), kept_memory():
    faults(1)
    kept, held = faults(6), resident() - before
print(json.dumps({"usual": usual, "kept": kept, "held": held, "left": resident() - before}))
"""


def huge_pages() -> bool:
    """Whether the system hands out pages of 2 MB by itself: then faults are too few to count."""
    try:
        return "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or huge_pages(), reason="needs glibc, and pages that are counted")
def test_the_same_memory_is_used_again_while_it_lasts_and_goes_back_afterwards():

    done = subprocess.run([sys.executable, "-c", SCRIPT, str(LIBRARY)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    tensor = (64 << 20) >> 12  # pages
    assert seen["usual"] > 5 * tensor, "by default each tensor is mapped anew"
    assert seen["kept"] <= 2 * tensor, "once when the first is asked for, and never again"
    assert seen["held"] > tensor // 2
    assert seen["left"] < tensor // 2
