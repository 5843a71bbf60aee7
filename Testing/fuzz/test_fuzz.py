"""Odd and damaged inputs, drawn from a fixed seed: each is done, or refused in one sentence; nothing is left behind."""

from __future__ import annotations

from fuzz.run import fuzz

SEED, COUNT = 20, 80  # about half a minute


def test_every_odd_input_is_done_or_refused_in_one_sentence(tmp_path):
    results = fuzz(SEED, 0, COUNT, tmp_path)
    bad = [f"{one['number']} ({one['kind']}): {one['problems']} {one['said']}" for one in results if one["problems"]]
    assert not bad, "\n".join(bad)
    codes = [one["code"] for one in results]
    assert len(results) == COUNT and codes.count(0) > COUNT / 10 and codes.count(2) > COUNT / 3  # both kinds were met
