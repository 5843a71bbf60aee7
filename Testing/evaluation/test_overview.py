"""The overview: one line a method, volumes apart from slices, means over the same cases for all."""

from __future__ import annotations

from DeepMultiModalRegLib.evaluation.overview import overview


def row(case: str, method: str, kind: str, dimension: int = 3, **figures) -> dict:
    model = method.removesuffix(", refined") if kind in ("model", "refined") else ""
    figures = {"seconds": 1.0, "cpu_seconds": 2.0, "peak_mb": 300.0, **figures}
    return {"case": case, "method": method, "kind": kind, "model": model, "dimension": dimension, **figures}


def lines_of(text: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines}


def test_without_and_with_refinement_stand_side_by_side_as_means_over_the_cases():
    rows = [
        row("one", "m", "model", dice_a=0.5, dice_b=0.7, dice_a_each={"1": 0.5}, seconds=1.0, peak_mb=100),
        row("two", "m", "model", dice_a=0.8, error_mean_mm=3.0, seconds=2.0, peak_mb=500),
        row("one", "m, refined", "refined", dice_a=0.9, seconds=4.0),
        row("two", "m, refined", "refined", dice_a=0.9, error_mean_mm=1.0, seconds=4.0),
        row("one", "identity", "start", dice_a=0.1),
    ]
    text = overview(rows)
    assert "### Volumes" in text and "### Slices" not in text and "identity" not in text
    expected = ["2", "0.700", "0.900", "3.00", "1.00", "1.50", "4.00", "2.00", "2.00", "500", "300"]
    assert lines_of(text)["m"] == expected


def test_a_method_that_lacks_a_case_or_failed_on_one_is_named_and_has_no_line():
    rows = [row("one", "m", "model", dice_a=0.5), row("two", "m", "model", dice_a=0.6)]
    rows += [row("one", "p", "peer", dice_a=0.9), {**row("two", "q", "peer"), "error": "no"}, row("one", "q", "peer")]
    text = overview(rows)
    assert set(lines_of(text)) == {"method", "m"} and "Not on every case: p, q." in text
    assert lines_of(text)["m"][2] == "–", "not refined"


def test_slices_have_a_table_of_their_own_and_no_rows_make_no_table():
    text = overview([row("one", "m", "model"), row("flat", "n", "model", 2, dice_a=0.5)])
    volumes, slices = text.split("### Slices")
    assert "m" in lines_of(volumes) and "n" not in lines_of(volumes) and lines_of(slices)["n"][0] == "1"
    assert overview([row("one", "identity", "start")]) == overview([]) == ""
