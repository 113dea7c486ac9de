"""Values of another kind than the dictionary gives: each is named, with its attribute, and shown to nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from components.dicom.attributes import check, require
from components.dicom.read import open_dicom, read_dicom
from components.imaging.decoding import FaultyFile, UnreadableImage
from tests.drawing import dicom, write_dicom


def given(keyword: str, vr: str, value: bytes, image: Dataset | None = None) -> Dataset:
    """`image` with an attribute as a file would give it: bytes under any VR."""
    image = dicom(np.zeros((4, 5), np.uint16)) if image is None else image
    tag = Tag(keyword)
    image[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return image


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "says"),
    [
        ("PixelSpacing", "DS", b"0.5 ", r"Pixel Spacing \(0028,0030\): expected 2 numbers .*, found one value"),
        ("PixelSpacing", "DS", b"0,143\\0,143 ", r"Pixel Spacing .* found a decimal comma"),
        ("PixelSpacing", "DS", b"\\0.5", r"Pixel Spacing .* found an empty value"),
        ("PixelSpacing", "DS", b"nan\\1 ", r"Pixel Spacing .* found a value that is not finite"),
        (
            "ImagePositionPatient",
            "DS",
            b"left\\0\\0 ",
            r"Image Position \(Patient\) .* found text that is not a number",
        ),
        ("ImageOrientationPatient", "DS", b"1\\0\\0 ", r"Image Orientation .* expected 6 numbers .*, found 3 values"),
        ("InstanceNumber", "IS", b"1-2 ", r"Instance Number \(0020,0013\): expected one whole number, found text"),
        ("InstanceNumber", "IS", b"1\\2 ", r"Instance Number .* expected one whole number, found 2 values"),
        ("BitsAllocated", "LO", b"sixteen ", r"Bits Allocated .* expected one whole number, found text that"),
        ("BitsAllocated", "LO", b"16", r"Bits Allocated .* found a number written as text"),
        ("Rows", "US", b"\x04\0\x05\0", r"Rows \(0028,0010\): expected one whole number, found 2 values"),
        ("Rows", "US", b"\x04\0\x05", r"Rows .* found bytes that its value representation cannot hold"),
        ("Rows", "DS", b"4.5 ", r"Rows .* expected one whole number, found a fraction"),
        ("PixelPaddingValue", "US", b"\0\0\1\0", r"Pixel Padding Value .* found 2 values"),
        ("RescaleSlope", "DS", b"one ", r"Rescale Slope .* found text that is not a number"),
        ("RescaleIntercept", "DS", b"inf ", r"Rescale Intercept .* found a value that is not finite"),
        ("Modality", "CS", b"CT\\US ", r"Modality \(0008,0060\): expected one value of text, found 2 values"),
        ("SharedFunctionalGroupsSequence", "LO", b"none", r"Shared Functional Groups .* expected a sequence"),
        ("ModalityLUTSequence", "US", b"\0\0", r"Modality LUT Sequence .* expected a sequence"),
        ("PatientID", "US", b"\1\0", r"Patient ID .* found a value representation that holds no text"),
        ("SequenceOfUltrasoundRegions", "LO", b"none", r"Sequence of Ultrasound Regions .* expected a sequence"),
    ],
)
def test_an_attribute_of_another_kind_is_named_with_what_was_expected(
    tmp_path: Path, keyword: str, vr: str, value: bytes, says: str
) -> None:
    with pytest.raises(FaultyFile, match=says) as error:
        check(given(keyword, vr, value))
    assert str(error.value).endswith("Correct it, or leave the file out")
    for word in ("left", "1-2", "sixteen", "one "):
        assert f"found {word}" not in str(error.value).replace("found one value", "")
    path = write_dicom(tmp_path / "odd.dcm", given(keyword, vr, value + b" " * (len(value) % 2)))
    with pytest.raises(UnreadableImage, match=r"odd\.dcm: "):
        open_dicom(path)


def test_attributes_inside_sequences_are_looked_at_too() -> None:
    measures, group = given("PixelSpacing", "DS", b"wide", Dataset()), Dataset()
    group.PixelMeasuresSequence = [measures]
    with pytest.raises(FaultyFile, match="Pixel Spacing"):
        check(dicom(np.zeros((4, 5), np.uint16), PerFrameFunctionalGroupsSequence=[group]))
    region = given("RegionLocationMinX0", "UL", b"", Dataset())
    check(dicom(np.zeros((4, 5), np.uint16), "US", SequenceOfUltrasoundRegions=[region]))
    region = given("RegionLocationMinX0", "LO", b"edge", Dataset())
    with pytest.raises(FaultyFile, match="Region Location Min X0"):
        check(dicom(np.zeros((4, 5), np.uint16), "US", SequenceOfUltrasoundRegions=[region]))


@pytest.mark.parametrize("vr", ["UT", "LO", "ST", "SH", "UN", "LT"])
def test_text_is_read_by_the_vr_of_the_dictionary(tmp_path: Path, vr: str) -> None:
    image = open_dicom(write_dicom(tmp_path / "a.dcm", given("PixelSpacing", vr, b"2.5000\\1.2500 ")))
    assert [float(value) for value in image.PixelSpacing] == [2.5, 1.25]
    assert image["PixelSpacing"].VR == "DS"


@pytest.mark.parametrize(("keyword", "vr"), [("InstanceNumber", "IS"), ("PixelPaddingValue", "CS"), ("HighBit", "LO")])
def test_an_attribute_without_a_value_stays_and_counts_as_none(tmp_path: Path, keyword: str, vr: str) -> None:
    image = open_dicom(write_dicom(tmp_path / "a.dcm", given(keyword, vr, b"")))
    assert image[keyword].value is None
    assert read_dicom(tmp_path / "a.dcm").pixels.shape == (1, 4, 5)


def test_a_patients_name_under_another_vr_is_still_a_name_and_not_yet_read() -> None:
    image = given("PatientName", "LO", b"Doe^Jane")
    check(image)
    assert isinstance(image.get_item("PatientName"), RawDataElement)
    assert image["PatientName"].VR == "PN"


def test_every_attribute_that_lacks_is_named() -> None:
    image = dicom(np.zeros((4, 5), np.uint16))
    require(image, "Rows", "SOPClassUID")
    image.SOPClassUID = ""
    del image.Rows
    with pytest.raises(FaultyFile, match=r"expected Rows \(0028,0010\) and SOP Class UID \(0008,0016\), found none"):
        require(image, "Rows", "SOPClassUID", "Columns")


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"])
def test_an_image_without_what_its_pixels_need_is_refused_by_name(tmp_path: Path, keyword: str) -> None:
    image = dicom(np.zeros((4, 5), np.uint16))
    del image[keyword]
    with pytest.raises(UnreadableImage, match=r"a\.dcm: expected .* \(0028,01?[0-9]+\), found none\. Correct it"):
        open_dicom(write_dicom(tmp_path / "a.dcm", image))


@pytest.mark.parametrize(("stored", "high"), [(17, 16), (0, 15), (12, 3), (12, 16)])
def test_bits_that_lie_outside_of_those_allocated_are_refused(tmp_path: Path, stored: int, high: int) -> None:
    image = dicom(np.zeros((4, 5), np.uint16), BitsStored=stored, HighBit=high)
    with pytest.raises(UnreadableImage, match=f"inside the 16 bits allocated, found {stored} and {high}"):
        open_dicom(write_dicom(tmp_path / "a.dcm", image))
