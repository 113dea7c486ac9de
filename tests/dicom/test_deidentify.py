from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from components.dicom.deidentify import Pseudonyms, action, deidentify
from components.dicom.read import read_dicom
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, write_dicom

STORED = np.arange(35, dtype=np.uint16).reshape(5, 7)
SALT = Pseudonyms(b"a salt for tests")


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def anonymous(**attributes: object) -> FileDataset:
    return deidentify(dicom(STORED, "CT", **attributes), SALT)


def test_names_numbers_and_dates_leave_and_the_header_says_so() -> None:
    image = anonymous(InstitutionName="St Elsewhere", PatientAddress="1 Main Street", OperatorsName="Ann")
    for keyword in ("PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "StudyID", "StudyDate"):
        assert not image[keyword].value
    assert "PatientAddress" not in image
    assert "Elsewhere" not in str(image) and "Ann" not in str(image.get("OperatorsName"))
    assert image.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in image.DeidentificationMethodCodeSequence] == ["113100"]


def test_what_reading_needs_stays() -> None:
    image = anonymous(BodyPartExamined="HEAD", WindowCenter=40, WindowWidth=80, ImageType=["ORIGINAL", "PRIMARY"])
    assert (image.Modality, image.BodyPartExamined, list(image.PixelSpacing)) == ("CT", "HEAD", [0.5, 0.5])
    assert (image.WindowCenter, image.RescaleIntercept, image.ImagePositionPatient[2]) == (40, -1024, 12.5)
    assert image.PixelData == STORED.tobytes()


def test_the_original_is_left_as_it_is() -> None:
    original = dicom(STORED, "CT")
    deidentify(original, SALT)
    assert original.PatientName == "Doe^Jane"


def test_sequences_are_cleaned_at_every_depth() -> None:
    deep = item(PatientName="Doe^Jane", CodeValue="X1", PurposeOfReferenceCodeSequence=[item(PatientID="MRN-0012345")])
    image = anonymous(DerivationImageSequence=[item(SourceImageSequence=[deep])])
    kept = image.DerivationImageSequence[0].SourceImageSequence[0]
    assert kept.CodeValue == "X1"
    assert not kept.PatientName
    assert "MRN" not in str(image)


def test_private_unknown_overlay_and_curve_attributes_are_removed() -> None:
    original = dicom(STORED, "CT")
    original.private_block(0x0029, "ACME", create=True).add_new(0x01, "LO", "Doe^Jane")
    original.add_new(0x60000010, "US", 5)
    original.add_new(0x60003000, "OW", b"\0\0")
    original.add_new(0x50000010, "US", 5)
    original.add_new(0x00080FFE, "UN", b"Doe^Jane")
    image = deidentify(original, SALT)
    assert not [tag for tag in image.keys() if tag.is_private or tag.group >> 8 in (0x50, 0x60)]  # noqa: SIM118
    assert 0x00080FFE not in image


def test_free_text_leaves_even_where_the_table_is_silent() -> None:
    assert action(dicom(STORED, "CT", PartialViewDescription="x")["PartialViewDescription"].tag) is None
    image = anonymous(SeriesDescription="Mrs Doe's knee", ImageComments="Doe", PartialViewDescription="Mrs Doe")
    assert not {"SeriesDescription", "ImageComments", "PartialViewDescription"} & set(image.dir())


def test_uids_are_replaced_consistently_and_classes_stay() -> None:
    series = "1.2.3.4.5"
    reference = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=series)
    image = anonymous(SeriesInstanceUID=series, SourceImageSequence=[reference])
    source = image.SourceImageSequence[0]
    assert image.SeriesInstanceUID == source.ReferencedSOPInstanceUID == SALT.uid(series) != series
    assert image.SeriesInstanceUID.is_valid
    assert source.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID


def test_pseudonyms_follow_the_person_and_the_salt() -> None:
    one, again = anonymous(), anonymous(StudyInstanceUID="1.2.9")
    assert one.PatientID == again.PatientID == one.PatientName
    assert len(one.PatientID) == 13
    assert anonymous(PatientID="MRN-2").PatientID != one.PatientID
    assert anonymous(IssuerOfPatientID="Elsewhere").PatientID != one.PatientID
    assert deidentify(dicom(STORED), Pseudonyms(b"another salt")).PatientID != one.PatientID


def test_without_a_number_the_name_decides_and_without_both_the_study() -> None:
    assert anonymous(PatientID="").PatientID == anonymous(PatientID=" ", StudyInstanceUID="1.2.9").PatientID
    nobody = {"PatientID": "", "PatientName": ""}
    first, second = anonymous(**nobody, StudyInstanceUID="1.2.8"), anonymous(**nobody, StudyInstanceUID="1.2.9")
    assert first.PatientID != second.PatientID


def test_person_codes_do_not_stay_in_sequences() -> None:
    code = item(CodeValue="STAFF-4711", CodeMeaning="Dr House", CodingSchemeDesignator="99X")
    image = anonymous(InstitutionCodeSequence=[code], VerifyingObserverSequence=[code])
    assert "STAFF-4711" not in str(image) and "House" not in str(image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_big_endian_becomes_little_endian_with_the_same_values(tmp_path: Path, dtype: type[np.generic]) -> None:
    stored = np.arange(36).reshape(6, 6).astype(dtype)
    original = dicom(stored, "MR")
    original.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    original.set_original_encoding(False, False)
    original.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    original["PixelData"].VR = "OB" if dtype is np.uint8 else "OW"
    path = write_dicom(tmp_path / "big.dcm", original)
    image = deidentify(dcmread(path), SALT)
    assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    cleaned = read_dicom(write_dicom(tmp_path / "little.dcm", image))
    np.testing.assert_array_equal(cleaned.pixels, read_dicom(path).pixels)
    np.testing.assert_array_equal(cleaned.pixels[0], stored)


def under_another_vr(folder: Path, keyword: str, vr: str, value: object) -> Dataset:
    """A file in which an attribute has a VR that the dictionary does not give it."""
    original = dicom(STORED, "CT")
    tag = tag_for_keyword(keyword)
    original.pop(tag, None)
    original.add_new(tag, vr, value)
    return dcmread(write_dicom(folder / "wrong.dcm", original))


@pytest.mark.parametrize(
    "keyword, vr, value",
    [
        ("PatientName", "LO", "Roe^Richard"),
        ("ReferringPhysicianName", "SH", "Roe^Richard"),
        ("ReviewerName", "LO", "Roe^Richard"),
        ("PatientAddress", "CS", "ROE"),
        ("PartialViewDescription", "LO", "Mrs Roe"),
        ("StudyInstanceUID", "LO", "1.2.826.0.1.99"),
        ("OtherPatientIDsSequence", "LO", "Roe"),
        ("BodyPartExamined", "LO", "ROE"),
        ("InstanceNumber", "LO", "Roe"),
    ],
)
def test_the_tag_decides_and_not_the_vr_of_the_file(tmp_path: Path, keyword: str, vr: str, value: object) -> None:
    written = write_dicom(tmp_path / "out.dcm", deidentify(under_another_vr(tmp_path, keyword, vr, value), SALT))
    content = written.read_bytes()
    assert not [word for word in (b"Roe", b"ROE", b"Richard", b"826.0.1.99") if word in content]


def test_a_value_under_a_wrong_vr_that_fits_its_tag_is_kept(tmp_path: Path) -> None:
    image = deidentify(under_another_vr(tmp_path, "PixelSpacing", "UT", "0.7\\0.8"), SALT)
    assert (image["PixelSpacing"].VR, list(image.PixelSpacing)) == ("DS", [0.7, 0.8])


def test_coded_attributes_keep_the_standards_terms_alone() -> None:
    image = anonymous(
        BodyPartExamined="MUSTERMANN",
        ImageType=["ORIGINAL", "PRIMARY", "MUSTERMANN", "AXIAL"],
        ScanOptions=["HELICAL MODE", "ERIKA"],
        Laterality="ERIKA",
        PatientPosition="HFS",
    )
    assert "MUSTERMANN" not in str(image) and "ERIKA" not in str(image)
    assert not image.BodyPartExamined and not image.Laterality
    assert list(image.ImageType) == ["ORIGINAL", "PRIMARY", "", "AXIAL"]
    assert (list(image.ScanOptions), image.PatientPosition) == (["HELICAL MODE", ""], "HFS")


def test_binary_data_that_are_no_image_are_removed() -> None:
    image = anonymous(ICCProfile=b"Doe^Jane", EncapsulatedDocument=b"Doe^Jane")
    assert "ICCProfile" not in image and not image.get("EncapsulatedDocument")


def test_what_another_program_said_it_did_is_not_said_again() -> None:
    claim = item(CodeValue="113101", CodingSchemeDesignator="DCM", CodeMeaning="Clean Pixel Data Option")
    image = anonymous(DeidentificationMethodCodeSequence=[claim])
    assert [code.CodeValue for code in image.DeidentificationMethodCodeSequence] == ["113100"]


def test_spellings_of_one_name_are_one_patient() -> None:
    names = ("Doe^Jane", "Doe^Jane^^", "DOE^JANE=\u738b^\u5c0f\u6771")
    assert len({anonymous(PatientID="", PatientName=name).PatientID for name in names}) == 1
    assert anonymous(PatientID="", PatientName="Doe^Janet").PatientID != anonymous(PatientID="").PatientID


def test_pixel_data_that_cannot_be_accounted_for_are_refused_by_name() -> None:
    original = dicom(STORED, "CT")
    original.PixelData = b"\xfe\xff\x00\xe0" + original.PixelData
    original["PixelData"].is_undefined_length = True
    with pytest.raises(UnreadableImage, match=r"a\.dcm: .*Pixel Data: expected pixels"):
        deidentify(original, SALT, "a.dcm")


@pytest.mark.parametrize("name", ["Prima^Vera", "doe^PRIMA", "Roe^Richard=Prima"])
def test_short_text_with_a_word_of_a_name_is_emptied(name: str) -> None:
    image = anonymous(
        PatientName=name, SoftwareVersions=["PRIMA 4.1", "x"], SequenceName="prima", Manufacturer="Primary Scanners"
    )
    assert not image.SoftwareVersions and not image.SequenceName
    assert image.Manufacturer == "Primary Scanners"
    assert anonymous(SoftwareVersions="PRIMA 4.1").SoftwareVersions == "PRIMA 4.1"


def test_terms_stay_though_a_person_is_called_like_them() -> None:
    region = item(CodeValue="69536005", CodingSchemeDesignator="SCT", CodeMeaning="Head")
    image = anonymous(PatientName="Bone^Head", ConvolutionKernel="BONE", AnatomicRegionSequence=[region])
    assert image.ConvolutionKernel == "BONE"
    assert image.AnatomicRegionSequence[0].CodeMeaning == "Head"


def test_an_image_inside_a_sequence_is_removed() -> None:
    inside = item(Rows=5, Columns=7, BitsAllocated=16, PixelData=STORED.tobytes())
    image = anonymous(SourceImageSequence=[inside], IconImageSequence=[inside])
    assert [element.keyword for element in image.iterall() if element.keyword == "PixelData"] == ["PixelData"]


def test_a_character_set_that_is_none_is_replaced() -> None:
    assert anonymous(SpecificCharacterSet="MEIER").SpecificCharacterSet == "ISO_IR 192"
    assert anonymous(SpecificCharacterSet="ISO_IR 100").SpecificCharacterSet == "ISO_IR 100"
    assert "SpecificCharacterSet" not in anonymous()


@pytest.mark.parametrize(("keyword", "vr"), [("PixelRepresentation", "SS"), ("PixelPaddingValue", "IS")])
def test_a_zero_under_another_vr_stays_a_zero(tmp_path: Path, keyword: str, vr: str) -> None:
    assert deidentify(under_another_vr(tmp_path, keyword, vr, 0), SALT)[keyword].value == 0
