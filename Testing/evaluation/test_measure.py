"""A whole row against closed forms, on every lattice: boxes that were moved by whole voxels."""

from __future__ import annotations

import pytest
import torch
from lattices import SOLID, random_image

from DeepMultiModalRegLib.core import Affine, Grid, Image, resample
from DeepMultiModalRegLib.evaluation.cases import Case
from DeepMultiModalRegLib.evaluation.measure import measured
from DeepMultiModalRegLib.evaluation.runners import Outcome, Runner

FIRST, LAST, STEPS = 4, 8, 2  # the box's first and last voxel along the axis, and how far it is moved


def moved_case(grid: Grid, axis: int) -> tuple[Case, Affine, float]:
    """Noise and a box of labels 3 and 7, the same voxels on a lattice moved by STEPS voxels; the truth; its mm."""
    tensor_axis = grid.dimension - 1 - axis
    labels = torch.zeros(grid.shape, dtype=torch.int16)
    inner = [slice(1, n - 1) for n in grid.shape]
    inner[tensor_axis] = slice(FIRST, LAST + 1)
    labels[tuple(inner)] = 3
    labels[(0,) * grid.dimension] = 7  # a voxel in the corner, that identity moves away
    start = [0] * grid.dimension
    start[axis] = STEPS
    elsewhere = grid.cropped(tuple(start), grid.size)
    shift = grid.matrix[:-1, axis] * STEPS
    truth = Affine.from_parts(torch.eye(grid.dimension, dtype=torch.float64), shift)
    fixed = random_image(grid)
    both = Image(labels[None], grid), Image(labels[None], elsewhere)
    points = grid.corners()
    marks = points, points + shift
    case = Case("one", "g", fixed, Image(fixed.tensor, elsewhere), {"boxes": both}, truth, landmarks=marks)
    return case, truth, shift.norm().item()


def row_of(case: Case, transform: Affine) -> dict:
    def run(case: Case) -> Outcome:
        return Outcome(transform, 1.0, resample(case.moving, case.fixed.grid, transform), {"start": 0.5}, 7.0)

    row, found, warped = measured(case, "m", Runner(run, "model", "m"))
    assert found is transform and warped.grid.same_as(case.fixed.grid)
    return row


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", SOLID)
def test_a_box_moved_by_whole_voxels_has_the_overlap_distance_and_error_of_that(name, axis):
    case, truth, mm = moved_case(SOLID[name], axis)
    before, after = row_of(case, Affine.identity(truth.dimension)), row_of(case, truth)
    count = LAST - FIRST + 1
    assert before["dice_boxes_each"] == {3: pytest.approx((count - STEPS) / count), 7: 0.0}
    assert before["hd95_boxes_each"][3] == pytest.approx(mm, rel=1e-5)
    assert before["hd95_boxes_each"][7] == pytest.approx(mm, rel=1e-5)
    assert before["dice_boxes"] == pytest.approx((count - STEPS) / count / 2)
    assert [before[f"error_{k}_mm"] for k in ("mean", "median", "p95", "max")] == [pytest.approx(mm, rel=1e-4)] * 4
    assert [before[f"landmark_{k}_mm"] for k in ("mean", "p95", "max")] == [pytest.approx(mm, rel=1e-9)] * 3
    assert after["landmark_max_mm"] < 1e-9
    assert after["dice_boxes"] == 1.0 and after["hd95_boxes_mm"] == 0.0 and after["error_max_mm"] == 0.0
    assert after["nmi_after"] == pytest.approx(2.0, abs=0.01)  # each image tells the other
    assert before["nmi_before"] == before["nmi_after"] == after["nmi_before"] < 1.8
    assert after["folds"] == 0.0 and after["log_jacobian_sd"] == 0.0 and after["round_trip_mean_mm"] < 1e-3
    assert after["warped_disagreement"] == 0.0 and after["seconds"] == 1.0 and after["step_start"] == 0.5


def test_a_label_that_the_transform_moves_out_of_sight_is_counted_and_left_out_of_the_distance():
    case, truth, _ = moved_case(SOLID["oblique"], 0)
    away = Affine.from_parts(truth.linear, truth.translation + SOLID["oblique"].matrix[:-1, 0])  # the corner is cut off
    row = row_of(case, away)
    assert row["lost_boxes"] == 1 and row["dice_boxes_each"][7] == 0.0
    assert row["hd95_boxes_mm"] == row["hd95_boxes_each"][3] < 100


def test_a_delivered_image_that_is_not_the_transforms_shows_in_the_row():
    case, truth, _ = moved_case(SOLID["oblique"], 0)
    row, _, _ = measured(case, "m", Runner(lambda case: Outcome(truth, 1.0, case.fixed), "model"))
    assert row["warped_disagreement"] < 1e-4  # the noise is the same where both see it
    wrong = Image(case.fixed.tensor.flip(1), case.fixed.grid)
    row, _, _ = measured(case, "m", Runner(lambda case: Outcome(truth, 1.0, wrong), "model"))
    assert row["warped_disagreement"] > 0.3


def test_a_runner_that_breaks_is_a_row_that_says_why():
    case, _, _ = moved_case(SOLID["identity"], 0)
    row, found, _ = measured(case, "m", Runner(lambda case: 1 / 0, "model"))
    assert "ZeroDivisionError" in row["error"] and row["exit_code"] == 5 and found is None


def test_of_thick_slices_the_error_is_told_in_their_planes_and_across_them_from_both_truths():
    grid = Grid.regular((12, 10, 9), (1.0, 1.0, 6.0))
    image = random_image(grid)
    moved = [Affine.from_parts(torch.eye(3).double(), torch.tensor(by).double()) for by in ([3.0, 4, 2], [0.0, 1, 0])]
    row = row_of(Case("one", "g", image, image, truth=moved[0], found=moved[1]), Affine.identity(3))
    told = [row[f"{name}_{part}_mm"] for name in ("error", "found") for part in ("plane", "across")]
    assert told == pytest.approx([5.0, 2.0, 1.0, 0.0], abs=1e-4)
    assert row["found_mean_mm"] == pytest.approx(1.0, abs=1e-4)
    thin = random_image(Grid.regular((12, 10, 9), 2.0))
    assert "error_plane_mm" not in row_of(Case("one", "g", thin, thin, truth=moved[0]), Affine.identity(3))


def test_what_a_tool_holds_wrongly_of_the_pair_itself_does_not_count_against_its_finding_a_known_warp():
    """A tool that is off by `bias` with and without the warp has recovered it; one that answers the same as without it
    has missed all of it."""
    grid = Grid.regular((12, 10, 9), (1.0, 1.0, 6.0))
    image = random_image(grid)
    undone = Affine.from_parts(torch.diag(torch.tensor([1.1, 1.0, 1.0])).double(), torch.tensor([3.0, 4, 2]).double())
    bias = Affine.from_parts(torch.eye(3).double(), torch.tensor([0.0, 5, 6]).double())
    warped = random_image(grid, seed=1)
    case = Case("one", "g", image, warped, truth=undone, before=image)

    def row(after: Affine) -> dict:
        def run(case: Case) -> Outcome:
            return Outcome(after if case.moving is warped else bias, 1.0)

        return measured(case, "m", Runner(run, "peer", "m"))[0]

    biased, blind = row(undone @ bias), row(bias)
    assert biased["recovered_max_mm"] < 1e-6 and biased["error_mean_mm"] > 7
    apart = (undone.points(bias.points(grid.points())) - bias.points(grid.points())).reshape(-1, 3)
    assert blind["recovered_mean_mm"] == pytest.approx(apart.norm(dim=1).mean().item(), rel=1e-6)
    assert blind["recovered_across_mm"] == pytest.approx(2.0) and blind["recovered_plane_mm"] > 4
    assert not any(key.startswith("recovered") for key in row_of(Case("one", "g", image, image, truth=undone), bias))
