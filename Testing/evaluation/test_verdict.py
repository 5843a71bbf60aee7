"""Ours against the best peer: met, or the reasons why not; and what leaving the refinement out costs."""

from __future__ import annotations

import re

import pytest

from DeepMultiModalRegLib.evaluation.page import page
from DeepMultiModalRegLib.evaluation.verdict import against_peers, without_refinement

SYN = {"group": "g", "method": "ants-syn", "kind": "peer", "dice_x": 0.7, "error_mean_mm": 1.0, "folds": 0.0}
SYN |= {"seconds": 20.0, "cpu_seconds": 40.0}
CONVEX = {**SYN, "method": "convexadam", "dice_x": 0.8, "error_mean_mm": 1.5, "seconds": 50.0, "cpu_seconds": 90.0}
OURS = {"group": "g", "method": "m, refined", "model": "m", "kind": "refined", "dice_x": 0.81, "error_mean_mm": 0.9}
OURS |= {"folds": 0.0, "seconds": 10.0, "cpu_seconds": 15.0}
PLAIN = {**OURS, "method": "m", "kind": "model", "dice_x": 0.75, "error_mean_mm": 1.25, "seconds": 2.0}


def test_what_is_as_good_as_the_best_peer_and_fast_enough_is_met():
    text = against_peers([SYN, CONVEX, PLAIN, OURS])
    assert "1 of 1 groups" in text and "falls short" not in text
    line = next(line for line in text.splitlines() if "m, refined |" in line)
    assert "x: 0.810 / 0.800 (convexadam)" in line and "error: 0.90 / 1.00 (ants-syn)" in line
    assert line.endswith("| 5.0 | 6.0 | 2.0 | 2.7 | met |")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dice_x": 0.7999}, "Dice of x 0.800 / 0.800 (convexadam)"),
        ({"error_mean_mm": 1.01}, "mm of error 1.01 / 1.00 (ants-syn)"),
        ({"folds": 0.1}, "0.10 % of folds"),
        ({"seconds": 10.5}, "only 4.8 times faster than convexadam, not 5"),
        ({"seconds": 10.5}, "only 1.9 times faster than ants-syn, not 2"),
    ],
)
def test_each_bound_that_is_missed_is_a_reason(change, reason):
    text = against_peers([SYN, CONVEX, {**OURS, **change}])
    assert "0 of 1 groups" in text and f"- g, m, refined: {reason}." in text


def test_a_peer_that_was_not_measured_proves_nothing():
    assert "convexadam was not measured here" in against_peers([SYN, OURS])
    assert against_peers([OURS, PLAIN]) == "" == against_peers([SYN, CONVEX, PLAIN])


def test_the_loss_and_the_gain_of_no_refinement_stand_side_by_side():
    line = without_refinement([PLAIN, OURS]).splitlines()[-1]
    expected = "| g | m | x: 0.750 / 0.810 (-0.060) | 1.25 / 0.90 (+0.35) | 2.00 / 10.00 | 5.0 times |"
    assert line == expected and without_refinement([OURS]) == ""


def test_the_page_says_with_what_and_what_is_missing():
    rows = [{**row, "case": "a", "version": f"{row['method']} 1.0"} for row in (SYN, CONVEX, PLAIN, OURS)]
    rows.append({"group": "g", "case": "a", "method": "greedy-nmi", "kind": "peer", "error": "It is not installed."})
    text = page("Benchmark", "Command: `x`\n", rows, {"a": ["elastix-rigid"]})
    assert text.startswith("# Benchmark\n\nCommand: `x`\n\nPeers: ants-syn 1.0, convexadam 1.0\n")
    assert "- It is not installed." in text and "a: elastix-rigid." in text
    headings = re.findall("^## (.*)", text, re.MULTILINE)
    titles = ["Ours with refinement against the best peer", "Without and with refinement", "Means", "How to read it"]
    assert headings == [*titles, "Every case"]
