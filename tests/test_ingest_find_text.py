"""`ingest.find_text`: ultrasound whose declared regions hold text waits for a person."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from components import ingest
from components.handover import IndexRow, Layout, StepError, sha256_of
from components.params import Params
from tests.drawing import dicom, write_dicom
from tests.lettering import letters, speckle
from tests.origins import name_of
from tests.settings import small

ROWS, COLUMNS, TOP = 240, 320, 40  # the region begins below the rows with the machine's own line


@pytest.fixture(autouse=True)
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSR_SALT", "a salt for tests")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An archive of two ultrasound images, one with a name inside its region, and an MR with letters."""
    for name, text in (("clean.dcm", ""), ("named.dcm", "DOE^JANE")):
        picture = speckle(ROWS, COLUMNS, seed=len(name))
        letters(picture, "General Hospital", 10, 8)
        if text:
            letters(picture, text, 60, 120)
        region = Dataset()
        region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, TOP
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = COLUMNS - 1, ROWS - 1
        write_dicom(tmp_path / "in" / name, dicom(picture, "US", SequenceOfUltrasoundRegions=[region]))
    magnetic = speckle(ROWS, COLUMNS, seed=77).astype(np.uint16)
    letters(magnetic, "SCOUT 1", 60, 120)
    write_dicom(tmp_path / "in" / "magnetic.dcm", dicom(magnetic, "MR"))
    return Layout(tmp_path)


def settings(layout: Layout, find_text: bool) -> Params:
    params = small()
    sources = {"super_resolution": (f"dicom:{layout.root / 'in'}",), "classification": (), "max_bad_share": 0.5}
    return replace(params, ingest=replace(params.ingest, find_text=find_text, **sources))


def quarantined(layout: Layout, rows: list[IndexRow]) -> dict[str, str]:
    return {name_of(layout, row.file_name): row.reason for row in rows if row.quarantined}


def test_text_in_a_declared_region_waits_for_a_person_where_the_setting_says_so(layout: Layout) -> None:
    assert quarantined(layout, ingest.run(layout, settings(layout, find_text=False))) == {}
    found = quarantined(layout, ingest.run(layout, settings(layout, find_text=True)))
    assert list(found) == ["named.dcm"]
    assert f"under sha256 {sha256_of(layout.root / 'in' / 'named.dcm')}" in found["named.dcm"]
    assert "DOE" not in found["named.dcm"].upper()
    assert quarantined(layout, ingest.run(layout, settings(layout, find_text=False))) == {}, "not what was remembered"


def test_a_persons_review_overrules_the_search(layout: Layout) -> None:
    sha256 = sha256_of(layout.root / "in" / "named.dcm")
    table = layout.data / "reviewed_regions.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text(f"sha256,x0,y0,x1,y1,note\n{sha256},0,{TOP},{COLUMNS - 1},{ROWS - 1},no name of a person\n")
    rows = ingest.run(layout, settings(layout, find_text=True))
    assert quarantined(layout, rows) == {} and len(rows) == 3


def test_without_the_extra_nothing_is_touched(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.run(layout, settings(layout, find_text=False))
    before = layout.index.read_bytes()
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(StepError, match="the extra `ocr`"):
        ingest.run(layout, settings(layout, find_text=True))
    assert layout.index.read_bytes() == before
    assert len(ingest.run(layout, settings(layout, find_text=False))) == 3
