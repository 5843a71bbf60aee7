"""The memory experiment: what INNReg's translator needs in training, with and without the constant-memory backward
pass."""

from __future__ import annotations

import argparse
import multiprocessing
import time

from ..io import write_text
from . import table
from .experiment import written
from .peer_worker import peak_megabytes

PIXELS = 256
SIZES = {  # in words: settings of networks.invertible.InvertibleTranslator
    "shipped (4 blocks, growth 8, 5x5)": {"blocks": 4, "growth": 8, "side": 5},
    "twice as deep (8 blocks, growth 8, 5x5)": {"blocks": 8, "growth": 8, "side": 5},
    "published (8 blocks, growth 32, 7x7)": {"blocks": 8, "growth": 32, "side": 7},
}
COLUMNS = {"kept_mb": ("kept MB", 1), "peak_mb": ("peak MB", 0), "seconds": ("seconds", 1)}


def measured(settings: dict, frugal: bool, threads: int, pixels: int = PIXELS) -> dict:
    """One step's forward and backward pass of one image, in a process of its own. kept_mb: what autograd keeps between
    both; peak_mb: by how much the process grew; seconds."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_step, args=(settings, frugal, threads, pixels, send))
    process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        return {"error": "The process ended early; there may be too little memory."}
    finally:
        process.join()


def run_experiment(options: argparse.Namespace) -> int:
    """Prints and writes the table; returns the exit code."""
    from .command import about, facts_in_words

    facts = about(options) | {"pixels": PIXELS}
    rows = []
    for words, settings in SIZES.items():
        for frugal in (False, True):
            row = {"translator": words, "backward": "constant memory" if frugal else "autograd"}
            rows.append(row | measured(settings, frugal, options.threads))
            print(table.markdown(rows[-1:], ("translator", "backward"), COLUMNS).splitlines()[-1], flush=True)
    text = "\n".join([facts_in_words(facts), EXPLAINED, table.markdown(rows, ("translator", "backward"), COLUMNS)])
    written(options.out, "memory", text, facts, rows)
    write_text(text, options.out / "table.md")
    return 0


EXPLAINED = f"""\
INNReg's translator on one image of {PIXELS}x{PIXELS} pixels, float32: T and the gradients of all its weights. autograd
keeps every activation; the constant-memory pass keeps T's output and makes each block's input again from its output.
kept: tensors held between the forward and the backward pass; peak: growth of the process's resident size; each in a
process of its own.
"""


def _step(settings: dict, frugal: bool, threads: int, pixels: int, send) -> None:
    import torch

    from ..networks.invertible import InvertibleTranslator

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = InvertibleTranslator(2, **settings, frugal=frugal)
    network(torch.rand(1, 1, 16, 16)).sum().backward()  # what the library itself needs
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    image = torch.rand(1, 1, pixels, pixels)
    before, began = peak_megabytes(), time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(image).square().mean()
    out.backward()
    row = {"kept_mb": sum(kept.values()) / 1e6, "peak_mb": peak_megabytes() - before}
    send.send(row | {"seconds": time.perf_counter() - began})
