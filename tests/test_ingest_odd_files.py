"""One odd file is one row: it is quarantined with its reason, and every other file goes on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from components import ingest
from components.dicom.read import read_image
from components.handover import IndexRow, Layout, read_rows
from components.params import Params
from components.sources import intake
from tests.drawing import dicom, shapes, write_dicom
from tests.origins import name_of, with_names
from tests.settings import small


@pytest.fixture(autouse=True)
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSR_SALT", "a salt for tests")


def settings(folder: Path) -> Params:
    params = small()
    source = replace(
        params.ingest, super_resolution=(f"dicom:{folder}",), train_only=(), classification=(), max_bad_share=0.99
    )
    return replace(params, ingest=source)


def stored(seed: int = 0) -> np.ndarray:
    return (shapes(37, 41, seed) * 2000).astype(np.uint16)


def taken_in(tmp_path: Path) -> dict[str, IndexRow]:
    """Rows by file name, of `tmp_path/in` and a good file that is put beside what is there."""
    write_dicom(tmp_path / "in" / "good.dcm", dicom(stored(9), "MR", PatientID="another"))
    layout = Layout(tmp_path)
    rows = ingest.run(layout, settings(tmp_path / "in"))
    assert read_rows(layout.index, IndexRow) == rows
    found = {name_of(layout, row.file_name): row for row in rows}
    assert not found["good.dcm"].quarantined
    return found


def raw(image: Dataset, keyword: str, vr: str, value: bytes) -> None:
    tag = Tag(keyword)
    image[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "says"),
    [
        ("PixelSpacing", "DS", b"0.5 ", "Pixel Spacing"),
        ("PixelSpacing", "DS", b"0,143\\0,143 ", "decimal comma"),
        ("InstanceNumber", "IS", b"1-2 ", "Instance Number"),
        ("ImagePositionPatient", "DS", b"left\\0\\0 ", "Image Position"),
        ("PixelPaddingValue", "US", b"\0\0\1\0", "Pixel Padding Value"),
        ("SOPInstanceUID", "UI", b"", "SOP Instance UID"),
        ("SOPClassUID", "UI", b"", "SOP Class UID"),
        ("SOPClassUID", "UI", b"Mustermann", "SOP Class UID (0008,0016): expected a UID, found other text"),
        ("SOPClassUID", "LO", b"Mustermann", "SOP Class UID (0008,0016): expected a UID, found other text"),
        ("Rows", "US", b"", "Rows"),
        ("SourceImageSequence", "LO", b"none", "Source Image Sequence"),
        ("SeriesDescription", "SQ", b"nonsense", "Series Description"),
        ("PixelPaddingValue", "SQ", b"", "found a sequence"),
    ],
)
def test_an_odd_attribute_is_one_row_with_its_name(
    tmp_path: Path, keyword: str, vr: str, value: bytes, says: str
) -> None:
    image = dicom(stored(), "CT")
    raw(image, keyword, vr, value)
    (tmp_path / "in").mkdir()
    image.save_as(tmp_path / "in" / "odd.dcm", enforce_file_format=False)
    row = taken_in(tmp_path)["odd.dcm"]
    assert row.quarantined and says in row.reason and "expected" in row.reason
    assert "axis" not in row.reason and len(row.image_id) == 16


def test_an_empty_corner_of_an_ultrasound_region_is_one_row(tmp_path: Path) -> None:
    region = Dataset()
    for keyword in ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1"):
        setattr(region, keyword, 3)
    raw(region, "RegionLocationMaxX1", "LO", b"edge")
    write_dicom(tmp_path / "in" / "odd.dcm", dicom(stored(), "US", SequenceOfUltrasoundRegions=[region]))
    assert "Region Location Max X1" in taken_in(tmp_path)["odd.dcm"].reason


def test_half_a_number_in_an_attribute_that_nobody_reads_does_not_end_the_run(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "in" / "odd.dcm", dicom(stored(), "MR", LargestImagePixelValue=258))
    begins = b"\x28\x00\x07\x01US"
    path.write_bytes(path.read_bytes().replace(begins + b"\x02\x00\x02\x01", begins + b"\x03\x00\x02\x01\x00"))
    row = taken_in(tmp_path)["odd.dcm"]
    assert not row.quarantined
    assert "LargestImagePixelValue" not in dcmread(Layout(tmp_path).raw / row.path)


def test_several_body_parts_are_written_as_dicom_does(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "two.dcm", dicom(stored(), "CT", BodyPartExamined=["CHEST", "ABDOMEN"]))
    assert taken_in(tmp_path)["two.dcm"].body_part == "CHEST\\ABDOMEN"


def test_names_links_and_pipes_are_rows(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "series" / "1.dcm", dicom(stored(), "MR"))
    write_dicom(tmp_path / "in" / os.fsdecode(b"m\xfcller.dcm"), dicom(stored(1), "MR"))
    (tmp_path / "in" / "again").symlink_to("series")
    (tmp_path / "in" / "gone.dcm").symlink_to("annex/objects/1")
    (tmp_path / "in" / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "in" / "pipe")
    reasons = {name: row.reason for name, row in taken_in(tmp_path).items()}
    assert reasons.pop("good.dcm") == reasons.pop("series/1.dcm") == ""
    assert {name: "expected" in reason for name, reason in reasons.items()} == {
        "m\\xfcller.dcm": True, "again": True, "gone.dcm": True, "loop": True, "pipe": True,
    }  # fmt: skip


def test_a_fault_of_this_program_stays_a_traceback_that_names_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: Any) -> str:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(intake, "_spacing", faulty)
    write_dicom(tmp_path / "in" / "a.dcm", dicom(stored(), "MR"))
    with pytest.raises(TypeError, match="a fault of ours") as error:
        taken_in(tmp_path)
    assert [note for note in error.value.__notes__ if "a.dcm" in with_names(Layout(tmp_path), note)]
    assert not [note for note in error.value.__notes__ if "a.dcm" in note], "its key alone"


def series(folder: Path, **changes: Any) -> None:
    """Three slices that carry one SOP Instance UID."""
    for number in range(3):
        told = {"InstanceNumber": number, **changes}
        write_dicom(folder / f"{number}.dcm", dicom(stored(number), "MR", SOPInstanceUID="1.2.3", **told))


@pytest.mark.parametrize("changes", [{}, {"InstanceNumber": 1}], ids=["other numbers", "one number"])
def test_one_uid_on_other_pixels_is_several_images_and_said(tmp_path: Path, changes: dict[str, Any]) -> None:
    series(tmp_path / "in", **changes)
    rows = taken_in(tmp_path)
    layout, slices = Layout(tmp_path), [rows[f"{number}.dcm"] for number in range(3)]
    assert [row.quarantined for row in slices] == [False] * 3
    assert all("another image of other pixels had the same" in row.reason for row in slices)
    files = [dcmread(layout.raw / row.path) for row in slices]
    assert len({file.SOPInstanceUID for file in files}) == 3
    assert all(file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID for file in files)
    for number, row in enumerate(slices):
        np.testing.assert_array_equal(read_image(layout.raw / row.path)[0], stored(number))
    text = with_names(layout, ingest.summary(list(rows.values())))
    assert "note        1.dcm: kept under a new SOP Instance UID" in text and "4 kept" in text


def test_an_edited_copy_under_one_uid_is_another_image(tmp_path: Path) -> None:
    edited = stored()
    edited[10:20, 10:20] = 0
    for name, pixels in (("a.dcm", stored()), ("b.dcm", edited)):
        write_dicom(tmp_path / "in" / name, dicom(pixels, "MR", SOPInstanceUID="1.2.3"))
    assert [row.quarantined for row in taken_in(tmp_path).values()] == [False] * 3


def test_one_image_in_two_depths_under_one_uid_is_one_image(tmp_path: Path) -> None:
    for name, pixels in (("a.dcm", stored()), ("b.dcm", (stored() >> 3).astype(np.uint8))):
        write_dicom(tmp_path / "in" / name, dicom(pixels, "MR", SOPInstanceUID="1.2.3"))
    rows = taken_in(tmp_path)
    assert (rows["a.dcm"].reason, rows["b.dcm"].quarantined) == ("", True)
    assert rows["b.dcm"].reason.endswith("same SOP Instance UID")
