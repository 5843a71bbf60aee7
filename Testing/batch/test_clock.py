"""The time that is left."""

from __future__ import annotations

import pytest

from DeepMultiModalRegLib.batch.clock import Clock, in_words


def test_the_rest_takes_as_long_as_what_was_done():
    now = [0.0]
    clock = Clock(10, lambda: now[0])
    now[0] = 5.0
    clock.begin()
    assert clock.remaining(0, [0.1]) is None  # too little is known
    now[0] = 25.0
    assert clock.remaining(2, []) == pytest.approx(80)
    assert clock.remaining(1, [0.5, 0.5]) == pytest.approx(80)
    assert clock.remaining(10, []) == 0


@pytest.mark.parametrize("seconds, words", [(None, ""), (0.2, "about 1 s left"), (600, "about 10 min left"),
                                            (9000, "about 2.5 h left")])  # fmt: skip
def test_in_words(seconds, words):
    assert in_words(seconds) == words
