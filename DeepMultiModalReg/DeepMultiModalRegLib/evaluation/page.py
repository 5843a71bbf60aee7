"""Page: a run's results in one Markdown file: what with, on what, how well, at what cost."""

from __future__ import annotations

from . import table
from .overview import overview
from .verdict import FASTER, FOLDS, against_peers, without_refinement

EXPLAINED = f"""\
- **Dice**, **HD95**: the moving labels, carried by nearest neighbour onto the fixed lattice, against the fixed ones;
  the mean over the labels that both have, each with equal weight (a label that is lost counts 0 in Dice, and is left
  out of HD95 and counted under "labels lost"). HD95 in mm between voxel centres of the surfaces. Each label by itself:
  `labels.csv` in the run's folder.
- **error**: mm between the transform found and the known one, over the voxels of the fixed image's head.
- **TRE**: mm at landmarks.
- **folds**: percent of voxels with a Jacobian determinant of at most 0; **sd log J**: standard deviation of its
  logarithm.
- **NMI**: normalised mutual information over the fixed image's foreground, 1 to 2. It proves nothing by itself.
- **round trip**: mean mm of the delivered inverse after the transform; **warped off**: the largest difference between
  the delivered warped image and the moving one resampled by the delivered transform, as a share of its range. Ours.
- **seconds**: wall time of the registration itself: from images in memory (greedy: in files) to the transform, of ours
  also the warped image and the report; **CPU s**: user and system seconds of the same, over all threads: the figure to
  trust where the machine did other work; **start-up s**: all other wall time of the row's process (starting Python,
  imports, files, reading weights). Every row runs in a process of its own, cold. `convexadam-affine` gets the engine's
  affine as its start, and the affine's seconds count. **peak MB**: the largest resident size of that process,
  libraries included.
- Bounds of the verdict: mean Dice at least and mean error at most that of the best peer of the group, folds under
  {FOLDS:g} %, at most 1/{FASTER["convexadam"]:g} of convexAdam's and 1/{FASTER["ants-syn"]:g} of SyN's wall time.
"""


def page(title: str, facts: str, rows: list[dict], left_out: dict[str, list[str]]) -> str:
    """The whole file. facts: Markdown on command, date, machine; left_out: case to the peers its list leaves out."""
    means = table.means(rows)
    versions = sorted({row["version"] for row in rows if row.get("kind") == "peer" and row.get("version")})
    parts = [f"# {title}", facts.rstrip()]
    if versions:
        parts.append(f"Peers: {', '.join(versions)}")
    missing = dict.fromkeys(row["error"] for row in rows if "error" in row)
    if missing:
        parts.append("Rows without a result:\n\n" + "\n".join(f"- {error}" for error in missing))
    if left_out:
        words = "; ".join(f"{case}: {', '.join(names)}" for case, names in left_out.items())
        parts.append(f"Left out by the list of cases, to save time: {words}.")
    for heading, text in (
        ("All methods in one table", overview(rows)),
        ("Ours with refinement against the best peer", against_peers(means)),
        ("Without and with refinement", without_refinement(means)),
        ("Means", table.grouped(rows)),
        ("How to read it", EXPLAINED),
        ("Every case", table.by_case(rows)),
    ):
        if text:
            parts.append(f"## {heading}\n\n{text.rstrip()}")
    return "\n\n".join(parts) + "\n"
