from __future__ import annotations

import ast
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from components.dicom import identity, leak_scan
from components.dicom.deidentify import Pseudonyms, deidentify
from components.dicom.identity import collect
from components.dicom.leak_scan import Leak, leaks
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
    assert leaked(tmp_path, original(InstitutionName="TOSHIBA", Manufacturer="TOSHIBA_MEC")) == []
    assert leaked(tmp_path, original(StudyInstanceUID="1.2.826.0.1.3680043.8.498")) == [], "the writer's"


def test_a_sabotaged_de_identification_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.dicom.deidentify.action", lambda tag: None)
    source = original(RequestAttributesSequence=[nested(AccessionNumber="ACC-55667788")])
    places = {leak.place for leak in leaked(tmp_path, source)}
    assert {"AccessionNumber"} <= places


def imported(module: object) -> set[str]:
    """What a module imports of this project."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name for name in names if name.startswith("components")}


def test_the_scan_does_not_lean_on_what_it_checks() -> None:
    shared = {"components.imaging.decoding"}  # what libraries raise on broken files
    assert imported(identity) == shared
    assert imported(leak_scan) == shared | {"components.dicom.identity", "components.dicom.defined_terms"}


def test_a_leak_does_not_carry_the_value(tmp_path: Path) -> None:
    assert "Doe" not in str(leaked(tmp_path, original(), SeriesDescription="Mrs Doe"))


@pytest.mark.parametrize("word", ["Meier", "Li-Na"])
def test_a_name_in_a_comment_of_a_compressed_stream_is_found(tmp_path: Path, word: str) -> None:
    source = dicom(np.zeros((16, 16), np.uint8), "CR", PatientName=f"{word}^Anna")
    image = deidentify(source, Pseudonyms(b"salt"))
    stream = BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(stream, "JPEG", comment=f"patient {word}, left".encode())
    image.PixelData, image.file_meta.TransferSyntaxUID = encapsulate([stream.getvalue()]), JPEGBaseline8Bit
    image["PixelData"].is_undefined_length = True
    found = leaks(write_dicom(tmp_path / "out.dcm", image), collect(source))
    assert found == [Leak("PatientName", "a segment of its compressed pixels")]


def test_a_name_in_a_comment_of_jpeg_2000_is_found(tmp_path: Path) -> None:
    source = dicom(np.zeros((16, 16), np.uint8), "CR", PatientName="Meier^Anna")
    image = deidentify(source, Pseudonyms(b"salt"))
    stream = BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(stream, "JPEG2000", no_jp2=True, comment="for Meier")
    image.PixelData, image.file_meta.TransferSyntaxUID = encapsulate([stream.getvalue()]), JPEG2000Lossless
    image["PixelData"].is_undefined_length = True
    found = leaks(write_dicom(tmp_path / "out.dcm", image), collect(source))
    assert found == [Leak("PatientName", "a segment of its compressed pixels")]


def test_a_short_name_behind_the_last_pixel_is_found(tmp_path: Path) -> None:
    source = original(PatientName="Meier^Anna")
    image = deidentify(source, Pseudonyms(b"salt"))
    image.PixelData += b"Meier "
    assert leaks(write_dicom(tmp_path / "out.dcm", image), collect(source)) == [
        Leak("PatientName", "the bytes behind the last pixel")
    ]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_bits_that_no_pixel_uses_are_found(tmp_path: Path, dtype: type[np.generic]) -> None:
    source = dicom(np.zeros((4, 4), dtype), "MR", BitsStored=12, HighBit=11)
    image = deidentify(source, Pseudonyms(b"salt"))
    assert leaks(write_dicom(tmp_path / "clean.dcm", image), collect(source)) == []
    image.PixelData = (np.eye(4).astype(dtype) << 12).astype(dtype).tobytes()
    (leak,) = leaks(write_dicom(tmp_path / "out.dcm", image), collect(source))
    assert leak.place == "bits that no pixel uses"


def test_a_name_is_found_in_other_character_sets_and_decomposed(tmp_path: Path) -> None:
    source = original(SpecificCharacterSet="ISO_IR 192", PatientName="M\u00fcller^J\u00f6rg=\u738b^\u5c0f\u6771")
    image = deidentify(source, Pseudonyms(b"salt"))
    for planted in ("Mu\u0308ller".encode(), "f\u00fcr M\u00dcLLER".encode("latin-1"), "\u5c0f\u6771".encode("big5")):
        image.add_new(0x00091002, "OB", planted + b" " * (len(planted) % 2))
        assert leaks(write_dicom(tmp_path / "out.dcm", image), collect(source)), planted


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientName": "Bone^Anna", "ConvolutionKernel": "BONE"},
        {"PatientName": "Head^Anna", "BodyPartExamined": "HEAD"},
        {"PatientName": "Primary^Anna", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        {"PatientName": "Head^Anna", "AnatomicRegionSequence": [nested(CodeValue="69536005", CodeMeaning="Head")]},
        {"PatientBirthDate": "19000101", "AcquisitionDateTime": "20210304101112"},
        {"StationName": "PRIMA", "SoftwareVersions": ["PRIMA 4.1", "x"]},
        {"PatientName": "Basic^Ana"},
        {"PatientName": "Profile^Application", "PatientID": "113100"},
        {"PatientName": "Dcm^Anna", "PatientID": "2.25"},
        {"StudyInstanceUID": "1.2.840"},
        {"StudyID": "SE2D1", "SequenceName": "SE2D1"},
    ],
    ids=str,
)
def test_terms_and_placeholders_do_not_stop_a_run(tmp_path: Path, attributes: dict[str, object]) -> None:
    assert leaked(tmp_path, dicom(STORED, "CT", **attributes)) == []


@pytest.mark.parametrize(
    "planted", [{"BodyPartExamined": "DOE"}, {"ScanOptions": "JANE"}, {"Modality": "DOE"}, {"ConvolutionKernel": "DOE"}]
)
def test_a_coded_value_that_is_no_term_excuses_nothing(tmp_path: Path, planted: dict[str, object]) -> None:
    assert leaked(tmp_path, original(), **planted)


def test_a_long_number_inside_a_uid_is_chance(tmp_path: Path) -> None:
    assert (
        leaked(tmp_path, original(PatientBirthDate="19610214"), SynchronizationFrameOfReferenceUID="2.25.71961021455")
        == []
    )
