from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from components.dicom.defined_terms import TERMS, known_meaning, known_value


@pytest.mark.parametrize(
    "keyword, value",
    [
        ("BodyPartExamined", "HEAD"),
        ("BodyPartExamined", "Whole Body"),
        ("BodyPartExamined", "L-SPINE"),
        ("Modality", "CT"),
        ("SpecificCharacterSet", "ISO 2022 IR 87"),
        ("ImageType", "0011"),
        ("ImageType", "CSA MPR"),
        ("ScanOptions", "HELICAL MODE"),
        ("PatientPosition", "HFS"),
        ("PixelPresentation", "MONOCHROME"),
        ("LossyImageCompression", "01"),
        ("ImageType", ""),
    ],
)
def test_terms_of_the_standard_are_known(keyword: str, value: str) -> None:
    assert known_value(keyword, value)


@pytest.mark.parametrize(
    "keyword, value",
    [
        ("BodyPartExamined", "MUSTERMANN"),
        ("BodyPartExamined", "CT"),
        ("Modality", "HEAD"),
        ("ImageType", "DOE KNEE"),
        ("ImageType", "4711"),
        ("ScanOptions", "JANE"),
        ("SomethingNew", "MEIER"),
    ],
)
def test_what_is_no_term_of_the_attribute_is_not(keyword: str, value: str) -> None:
    assert not known_value(keyword, value)


def test_meanings_of_standard_codes_are_known() -> None:
    assert known_meaning("Head") and known_meaning(" computed tomography")
    assert not known_meaning("Mustermann")


def test_an_enhanced_image_keeps_all_its_coded_attributes() -> None:
    image = dcmread(Path(str(files("data_store"))) / "data" / "emri_small.dcm")
    coded = [element for element in image.iterall() if element.VR == "CS" and not element.tag.is_private]
    values = [(element.keyword, value) for element in coded for value in np.atleast_1d(element.value or "")]
    assert len(values) > 50
    assert [pair for pair in values if not known_value(*pair)] == []


def test_every_term_fits_a_coded_attribute_and_no_list_is_empty() -> None:
    for keyword, listed in TERMS.items():
        terms = [term.replace("*", " ") for term in listed.replace(";", " ").split()]
        assert terms, keyword
        assert [
            term
            for term in terms
            if len(term) > 16 and keyword not in ("SpecificCharacterSet", "DeidentificationMethod")
        ] == []
        assert [term for term in terms if term != term.upper()] == []
