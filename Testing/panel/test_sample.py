"""The bundled pair in the module Sample Data: there, unaltered, and from the disk."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from conftest import ROOT

from DeepMultiModalRegLib.panel import sample


class Logic:
    """SampleData.SampleDataLogic, with the arguments that Slicer 5.6 to 5.12 know."""

    def __init__(self) -> None:
        self.given: dict = {}

    def registerCustomSampleDataSource(
        self, category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None,
        thumbnailFileName=None, loadFileType="VolumeFile", loadFiles=None, loadFileProperties=None, checksums=None,
    ) -> None:  # fmt: skip
        self.given = {"category": category, "uris": uris, "names": nodeNames, "checksums": checksums}


def test_the_pair_is_registered_with_its_checksums_and_nothing_is_downloaded() -> None:
    logic = Logic()
    assert sample.register(logic)
    assert logic.given["category"] == "DeepMultiModalReg" and logic.given["names"] == ["T1", "T2"]
    for uri, checksum in zip(logic.given["uris"], logic.given["checksums"], strict=True):
        assert uri.startswith("file:")
        path = Path(url2pathname(urlparse(uri).path))
        assert checksum == "SHA256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_without_the_files_nothing_is_registered(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sample, "__file__", str(tmp_path / "a" / "b" / "c" / "sample.py"))
    logic = Logic()
    assert not sample.register(logic) and logic.given == {}


def test_the_pictures_of_the_readme_are_there_and_small() -> None:
    pictures = list((ROOT / "Resources" / "Screenshots").glob("*.png"))
    assert pictures and all(path.stat().st_size < 150_000 for path in pictures)
    assert sum(path.stat().st_size for path in pictures) < 1_500_000
    shown = re.findall(r"Resources/Screenshots/[\w.-]+\.png", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown and all((ROOT / name).is_file() for name in shown)
