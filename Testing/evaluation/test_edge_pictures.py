"""The picture of edges tells a translator that moves them from one that only changes grey levels."""

from __future__ import annotations

import SimpleITK as sitk
import torch

from DeepMultiModalRegLib.evaluation.edge_pictures import ENLARGED, edge_sheet


def test_edges_that_move_are_drawn_apart_and_measured(tmp_path):
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    disc = torch.sigmoid(14 - ((y - 24) ** 2 + (x - 24) ** 2).sqrt())[None, None] * 0.8 + 0.1
    figures = edge_sheet(
        [disc, disc], {"negative": lambda x: 1 - x, "mover": lambda x: x.roll(4, -1)}, tmp_path / "e.png"
    )
    assert [row["translator"] for row in figures] == ["negative", "mover"] * 2
    assert figures[0]["edges_px"] < 0.2 < 1.5 < figures[1]["edges_px"]
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "e.png")))
    assert picture.shape == (2 * 48 * ENLARGED, 3 * 48 * ENLARGED, 3)
    columns = picture.reshape(2 * 48 * ENLARGED, 3, 48 * ENLARGED, 3)
    green = [((columns[:, n, :, 1] == 255) & (columns[:, n, :, 0] < 255)).sum() for n in range(3)]
    assert green[0] == 0 and green[2] > 20 > green[1]
