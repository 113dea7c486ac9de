"""Names, numbers and dates that were typed into short text: found in any spelling, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

from components.dicom.deidentify import Pseudonyms, deidentify
from components.dicom.identity import collect
from components.dicom.leak_scan import leaks
from components.dicom.typed_text import tells, told
from tests.drawing import dicom, write_dicom

STORED = np.arange(35, dtype=np.uint16).reshape(5, 7)


def image(**attributes: object) -> FileDataset:
    about = {"PatientName": "Mustermann^Erika", "PatientID": "12-345-678", "PatientBirthDate": "19440817"}
    return dicom(STORED, "CT", **{**about, "InstitutionName": "Klinikum Xanten", **attributes})


def tells_of(text: str, vr: str = "LO", keyword: str = "SoftwareVersions", **attributes: object) -> bool:
    return tells(DataElement(Tag(keyword), "LO", text), vr, told(image(**attributes)))


@pytest.mark.parametrize(
    "text",
    [
        "for Erika M.", "MUSTERMANN ws", "12345678", "ID 12-345-678", "nr12345678x", "born 19440817", "17.08.1944",
        "1944-08-17", "08/17/44 or 08/17/1944", "17 Aug 1944", "Klinikum Xanten", "klinikum  xanten, CT 2",
    ],
)  # fmt: skip
def test_names_numbers_and_dates_are_found_in_other_spellings(text: str) -> None:
    assert tells_of(text)


@pytest.mark.parametrize("text", ["syngo CT VB20A", "12345", "1944", "does 12-345", "Klinik", "17.08.2019", "", "ME"])
def test_other_text_is_none(text: str) -> None:
    assert not tells_of(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Ng^Li", "by Ng Li"), ("Ng^Li", "NGLI2"), ("Ng^Li", "Li, Ng"), ("Park^Ji-Won", "PARKJIWON2"),
        ("M\u00fcller^J\u00f6rg", "ws Mueller"), ("M\u00fcller^J\u00f6rg", "MULLER"), ("Mueller^J", "M\u00fcller 2"),
        ("Gro\u00df^Ida", "GROSS"), ("I\u015f\u0131k^Can", "ISIK"), ("S\u00f8rensen^Bo", "Soerensen"),
        ("Garcia-Gomez^Luis", "GarciaGomez2"), ("\u0141ukasz^Jan", "lukasz"), ("Mu\u0308ller^J", "M\u00fcller"),
    ],
)  # fmt: skip
def test_short_and_joined_names_and_other_spellings_are_found(name: str, text: str) -> None:
    assert tells_of(text, PatientName=name)


@pytest.mark.parametrize("text", ["NG 2", "Limax", "Long island", "li"])
def test_half_of_a_short_name_is_chance(text: str) -> None:
    assert not tells_of(text, PatientName="Ng^Li")


def test_a_name_in_a_script_without_spaces_is_found_inside_a_word() -> None:
    assert tells_of("\u5f35\u5c0f\u6771 2", PatientName="Zhang^XiaoDong=\u5f35^\u5c0f\u6771")


def test_a_name_in_an_undeclared_character_set_is_found(tmp_path: Path) -> None:
    original = image()
    for keyword, text in (
        ("PatientName", "\u5c71\u7530^\u592a\u90ce"),
        ("SoftwareVersions", "v1 \u5c71\u7530\u592a\u90ce"),
    ):
        tag = Tag(keyword)
        encoded = text.encode("shift_jis")
        original[tag] = RawDataElement(tag, "PN" if "^" in text else "LO", len(encoded), encoded, 0, False, True)
    path = write_dicom(tmp_path / "in.dcm", original)
    cleaned = deidentify(dcmread(path), Pseudonyms(b"salt"))
    assert not cleaned.SoftwareVersions
    assert leaks(write_dicom(tmp_path / "out.dcm", cleaned), collect(dcmread(path))) == []


def test_names_are_found_at_any_depth_and_in_private_attributes() -> None:
    item = Dataset()
    item.RequestingPhysician = "Quastenberg^Uwe"
    original = image(RequestAttributesSequence=[item])
    original.private_block(0x29, "ACME", create=True).add_new(1, "LO", "seen by Roe^Richard")
    for text in ("for Quastenberg", "RICHARD"):
        assert tells(DataElement(Tag("SoftwareVersions"), "LO", text), "LO", told(original))


@pytest.mark.parametrize(
    ("text", "found"), [("Mustermann", True), ("4711-0815", True), ("12 mm", True), ("12.5", False)]
)
def test_text_is_no_number(text: str, found: bool) -> None:
    assert tells_of(text, "DS", "TriggerTime") is found


def test_a_long_identifier_is_found_among_numbers_and_a_short_one_is_chance() -> None:
    assert tells_of("47110815", "IS", "SeriesNumber", PatientID="47110815")
    assert not tells_of("4711", "IS", "SeriesNumber", PatientID="4711")
    assert not tells_of("19.440817", "DS", "EchoTime")


@pytest.mark.parametrize(
    ("keyword", "text"), [("ConvolutionKernel", "BONE"), ("CodeMeaning", "Head"), ("Manufacturer", "TOSHIBA_MEC")]
)
def test_terms_and_makes_tell_of_nobody(keyword: str, text: str) -> None:
    named = {"PatientName": "Bone^Head", "InstitutionName": "TOSHIBA", "Manufacturer": "TOSHIBA_MEC"}
    assert not tells_of(text, "LO", keyword, **named)


def test_the_header_goes_on_without_what_told_of_somebody() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning, code.ContextUID = "12345678", "99X", "AP", "1.2.3.4"
    code.ReferencedSOPClassUID = "Mustermann"
    original = image(SoftwareVersions="by Erika", ViewCodeSequence=[code], SequenceName="fl3d", WindowCenter="40")
    cleaned = deidentify(original, Pseudonyms(b"salt"))
    (kept,) = cleaned.ViewCodeSequence
    assert not cleaned.SoftwareVersions and cleaned.SequenceName == "fl3d" and cleaned.WindowCenter == 40
    assert not kept.CodeValue and kept.CodeMeaning == "AP"
    assert kept.ContextUID.startswith("2.25.") and kept.ReferencedSOPClassUID.startswith("2.25.")
