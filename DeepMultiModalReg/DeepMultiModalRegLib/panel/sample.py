"""Sample: the bundled pair among Slicer's sample data, from the disk, checksummed; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

CATEGORY = "DeepMultiModalReg"
FILES = {
    "fixed_t1.nii.gz": ("T1", "SHA256:af4ee000e6487f795cde96a36a749d113d03072964d039c637d18ee1bc1d666c"),
    "moving_t2.nii.gz": ("T2", "SHA256:a3ad781a91899d648351ada0aca4ba8beda4cc3ed630161a50ae5ed5f1d6cf00"),
}


def folder() -> Path | None:
    """Where the pair lies: the repository, or inside an installed module."""
    library = Path(__file__).resolve().parents[1]
    for place in (library.parents[1] / "Resources" / "SampleData", library.parent / "Resources" / "SampleData"):
        if all((place / name).is_file() for name in FILES):
            return place
    return None


def register(sample_data_logic, icon: str = "") -> bool:
    """Adds the pair to the module SampleData, as one entry that loads both volumes; whether the pair is here."""
    place = folder()
    if place is None:
        return False
    sample_data_logic.registerCustomSampleDataSource(
        category=CATEGORY, sampleName="DeepMultiModalRegT1T2", thumbnailFileName=icon or None,
        uris=[(place / name).as_uri() for name in FILES], fileNames=list(FILES),
        nodeNames=[names[0] for names in FILES.values()], checksums=[names[1] for names in FILES.values()],
    )  # fmt: skip
    return True
