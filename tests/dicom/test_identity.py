from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset

from components.dicom import identity
from components.dicom.deidentify import Pseudonyms, deidentify
from components.dicom.identity import Leak, collect, leaks, redact
from tests.drawing import dicom, write_dicom

STORED = np.arange(35, dtype=np.uint16).reshape(5, 7)


def original(**attributes: object) -> FileDataset:
    return dicom(STORED, "CT", BodyPartExamined="KNEE", **attributes)


def nested(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def leaked(tmp_path: Path, source: FileDataset, **planted: object) -> list[Leak]:
    """What the scan finds in a de-identified file that something was put back into."""
    image = deidentify(source, Pseudonyms(b"salt"))
    for keyword, value in planted.items():
        setattr(image, keyword, value)
    return leaks(write_dicom(tmp_path / "out.dcm", image), collect(source))


def test_nothing_is_found_after_de_identification(tmp_path: Path) -> None:
    source = original(InstitutionName="St Elsewhere Hospital", PatientTelephoneNumbers="+49 30 123456")
    source.private_block(0x0029, "ACME", create=True).add_new(0x01, "LO", "Roe^Richard")
    assert leaked(tmp_path, source) == []


def test_everything_is_found_where_nothing_was_removed(tmp_path: Path) -> None:
    source = original(InstitutionName="St Elsewhere Hospital")
    found = {leak.origin for leak in leaks(write_dicom(tmp_path / "out.dcm", source), collect(source))}
    assert {"PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "InstitutionName"} <= found
    assert {"MediaStorageSOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "ReferringPhysicianName"} <= found


@pytest.mark.parametrize(
    "planted",
    [
        {"SeriesDescription": "Mrs Doe's knee"},
        {"SeriesDescription": "JANE, left"},
        {"ImageComments": "see MRN-0012345 of 2019"},
        {"StudyDescription": "born 19560708"},
        {"AcquisitionDateTime": "19560708101112"},
        {"OtherPatientIDsSequence": [nested(PatientID="ACC778899")]},
        {"RequestAttributesSequence": [nested(ReferencedStudySequence=[nested(PatientName="House^G")])]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "DOE KNEE"]},
    ],
    ids=str,
)
def test_a_leak_is_found_wherever_it_is(tmp_path: Path, planted: dict[str, object]) -> None:
    assert leaked(tmp_path, original(), **planted)


def test_an_old_uid_is_found(tmp_path: Path) -> None:
    source = original(StudyInstanceUID="1.2.826.0.1.77")
    found = leaked(tmp_path, source, SourceImageSequence=[nested(ReferencedSOPInstanceUID="1.2.826.0.1.77")])
    assert Leak("StudyInstanceUID", "ReferencedSOPInstanceUID") in found


def test_a_leak_in_private_and_unknown_attributes_is_found(tmp_path: Path) -> None:
    source = original()
    image = deidentify(source, Pseudonyms(b"salt"))
    image.private_block(0x0029, "ACME", create=True).add_new(0x01, "LO", "DOE JANE")
    image.add_new(0x00091002, "UN", b"\x01\x02Doe^Jane\x03")
    places = {leak.place for leak in leaks(write_dicom(tmp_path / "out.dcm", image), collect(source))}
    assert {"private attribute (0029,1001)", "private attribute (0009,1002)"} <= places


def test_names_in_private_attributes_and_sequences_of_the_original_are_looked_for(tmp_path: Path) -> None:
    source = original(RequestAttributesSequence=[nested(RequestingPhysician="Cuddy^Lisa")])
    source.private_block(0x0029, "ACME", create=True).add_new(0x01, "LO", "Roe^Richard")
    source.add_new(0x00091002, "UN", b"Poe^Edgar")
    for name in ("Cuddy", "Richard", "Edgar"):
        assert leaked(tmp_path, source, ImageComments=f"for {name}")


def test_a_name_among_the_pixels_is_found(tmp_path: Path) -> None:
    source = original(PatientName="Featherstonehaugh^Jane")
    image = deidentify(source, Pseudonyms(b"salt"))
    image.PixelData = b"Featherstonehaugh".ljust(len(image.PixelData), b"\0")
    assert leaks(write_dicom(tmp_path / "out.dcm", image), collect(source)) == [
        Leak("PatientName", "the bytes of the file")
    ]


def test_a_name_outside_ascii_is_found_though_it_is_short(tmp_path: Path) -> None:
    source = original(SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoDong=王^小东")
    assert leaked(tmp_path, source, ImageComments="小东 left")


def test_words_of_chance_do_not_stop_a_run(tmp_path: Path) -> None:
    source = original(PatientName="Knee^Left", PatientID="1024", InstitutionName="Drawn")
    assert leaked(tmp_path, source) == []


def test_a_sabotaged_de_identification_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.dicom.deidentify.action", lambda tag: None)
    source = original(RequestAttributesSequence=[nested(AccessionNumber="ACC-55667788")])
    places = {leak.place for leak in leaked(tmp_path, source)}
    assert {"AccessionNumber"} <= places


def test_the_scan_does_not_lean_on_what_it_checks() -> None:
    code = Path(identity.__file__).read_text(encoding="utf-8")
    assert "import components" not in code and "from components" not in code


def test_a_leak_does_not_carry_the_value(tmp_path: Path) -> None:
    assert "Doe" not in str(leaked(tmp_path, original(), SeriesDescription="Mrs Doe"))


def test_identity_leaves_file_names() -> None:
    known = collect(original())
    assert redact("DOE_JANE/knee_left.dcm", known) == "[removed]/knee_left.dcm"
    assert redact("doe-1.dcm", known) == "[removed]-1.dcm"
    assert redact("does/doppler.dcm", known) == "does/doppler.dcm"
    assert redact("MRN-0012345.dcm", known) == "[removed].dcm"
