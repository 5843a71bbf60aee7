"""The memory experiment measures what it says, and the constant-memory pass is constant."""

from __future__ import annotations

from DeepMultiModalRegLib.evaluation.translator_memory import SIZES, _step, measured
from DeepMultiModalRegLib.training.train import read_config


def test_the_shipped_size_is_that_of_the_configuration():
    settings = read_config("innreg-t1t2-brain-2d")["settings"]
    assert next(iter(SIZES.values())) == {key: settings[key] for key in ("blocks", "growth", "side")}


def test_autograd_keeps_more_with_every_block_and_the_frugal_pass_does_not():
    kept: dict[tuple[int, bool], float] = {}
    for blocks in (1, 4):
        for frugal in (False, True):
            rows = []
            _step({"blocks": blocks, "growth": 4, "side": 3}, frugal, 1, 64, Keeping(rows))
            kept[blocks, frugal] = rows[0]["kept_mb"]
    weights = 0.1  # MB: parameters of four blocks
    assert kept[4, False] > 3 * kept[1, False]
    assert kept[4, True] < kept[1, True] + weights < 0.2 * kept[4, False]


def test_a_process_of_its_own_tells_how_it_grew():
    row = measured({"blocks": 2, "growth": 8, "side": 0}, False, 1, 256)
    assert row["peak_mb"] > 0.5 * row["kept_mb"] > 5 and row["seconds"] > 0


class Keeping(list):
    """A pipe's end that keeps what is sent."""

    def __init__(self, rows: list) -> None:
        super().__init__()
        self.send = rows.append
